//! Whether a local cluster's ports are free, asked before anything is started.

use std::net::{Ipv4Addr, TcpListener};

/// A port that cannot be had, or that is none.
#[derive(Debug, thiserror::Error)]
pub enum BadPort {
    /// Somebody listens there.
    #[error("port {port} is in use ({user} of --base-port {base}): stop what uses it or pass --base-port")]
    InUse {
        /// The port.
        port: u16,
        /// `control` or `worker 2`.
        user: String,
        /// The flag's value.
        base: u16,
    },
    /// The system does not give it.
    #[error("port {port} cannot be used ({user} of --base-port {base}): pass another --base-port")]
    Refused {
        /// The port.
        port: u16,
        /// `control` or `worker 2`.
        user: String,
        /// The flag's value.
        base: u16,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// There are not enough ports after the base.
    #[error("--base-port {base} leaves no port for worker {worker}: ports end at 65535")]
    TooHigh {
        /// The flag's value.
        base: u16,
        /// The first worker without a port.
        worker: u16,
    },
}

/// Tries to listen on every port of the cluster, and lets go of them again.
///
/// # Errors
/// Names the first port that cannot be had.
pub fn check(base: u16, workers: u16) -> Result<(), BadPort> {
    let mut held = Vec::new();
    for number in 0..=workers {
        let port = base.checked_add(number).ok_or(BadPort::TooHigh { base, worker: number })?;
        let user = if number == 0 { "control".to_owned() } else { format!("worker {number}") };
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => held.push(listener),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                return Err(BadPort::InUse { port, user, base });
            }
            Err(source) => return Err(BadPort::Refused { port, user, base, source }),
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_is_named_with_its_user_and_the_flag() {
        let busy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = busy.local_addr().unwrap().port();
        let error = check(port, 0).unwrap_err().to_string();
        assert!(error.contains(&port.to_string()) && error.contains("control") && error.contains("--base-port"));
        let error = check(port - 1, 1).unwrap_err().to_string();
        // The port below may be busy too, on a machine where other tests run.
        assert!(error.contains("worker 1") || error.contains("control"), "{error}");
    }

    #[test]
    fn ports_beyond_the_last_are_refused() {
        assert!(matches!(check(65_535, 3), Err(BadPort::TooHigh { worker: 1, .. } | BadPort::InUse { .. })));
    }
}
