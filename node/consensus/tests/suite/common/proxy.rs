//! A network that can be told to fail.
#![allow(dead_code)]

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::machine::MARK;

/// What happens to what is sent through a [`Proxy`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A bit flips a little behind [`MARK`].
    Flip,
    /// The connection ends there.
    Cut,
}

/// Between whoever connects to [`Proxy::address`] and the store it stands for.
pub struct Proxy {
    pub address: String,
    /// While false, connections are accepted and nothing is carried, in neither direction.
    pub carries: watch::Sender<bool>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Still to happen, the last one first; one for each time that [`MARK`] comes by.
    faults: Vec<Fault>,
    /// Connections so far.
    connections: usize,
}

impl Proxy {
    pub async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (carries, carrying) = watch::channel(true);
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&target).await else { continue };
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                shared.lock().connections += 1;
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(carry(from_server, to_client, carrying.clone(), Arc::default()));
                tokio::spawn(carry(from_client, to_server, carrying.clone(), shared.clone()));
            }
        });
        Self { address, carries, state }
    }

    pub fn fail(&self, faults: &[Fault]) {
        self.state.lock().faults.extend(faults.iter().rev());
    }

    /// Whether all faults happened.
    pub fn has_failed(&self) -> bool {
        self.state.lock().faults.is_empty()
    }

    pub fn connections(&self) -> usize {
        self.state.lock().connections
    }
}

/// Carries one direction of a connection. Ending it ends the other one too: its peer closes.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut carrying: watch::Receiver<bool>,
    state: Arc<Mutex<State>>,
) {
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => read,
        };
        if carrying.wait_for(|carries| *carries).await.is_err() {
            return;
        }
        let bytes = &mut buffer[..read];
        let mark = bytes.windows(MARK.len()).position(|window| window == MARK);
        if let Some(byte) = mark.and_then(|at| bytes.get_mut(at + MARK.len() + 1)) {
            let fault = state.lock().faults.pop();
            match fault {
                Some(Fault::Flip) => *byte ^= 1,
                Some(Fault::Cut) => return,
                None => {}
            }
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
