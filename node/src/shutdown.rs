//! How a process learns that it shall end: a signal, or for a supervised child the end of its standard input.

use std::io::Read;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// After this a supervised child that was told to end is ended, whatever it waits for.
const GRACE: Duration = Duration::from_secs(10);

/// Cancelled by the first SIGINT or SIGTERM; a second one ends the process at once.
///
/// # Errors
/// Where the system gives no signal handler.
pub fn on_signal() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let told = token.clone();
    tokio::spawn(async move {
        // The end of standard input cancels the token too, and a supervisor that closes it also sends one signal.
        for signals in 1_u32.. {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if signals > 1 {
                tracing::warn!("second signal, ending without waiting");
                std::process::exit(130);
            }
            told.cancel();
        }
    });
    Ok(token)
}

/// Cancels `token` when standard input ends, as it does however the parent that holds its other end went; ends the
/// process if it is still there [`GRACE`] later.
///
/// The kernel's parent-death signal would not do: it fires when the *thread* that spawned the child ends.
///
/// # Errors
/// Where no thread can be started.
pub fn with_stdin(token: CancellationToken) -> std::io::Result<()> {
    let watch = move || {
        let mut byte = [0];
        let mut stdin = std::io::stdin().lock();
        while matches!(stdin.read(&mut byte), Ok(1..)) {}
        tracing::info!("standard input ended, ending");
        token.cancel();
        std::thread::sleep(GRACE);
        std::process::exit(1);
    };
    std::thread::Builder::new().name("stdin-watch".to_owned()).spawn(watch).map(drop)
}
