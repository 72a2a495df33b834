//! Ports for processes that must find theirs free again after a restart.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};
use parking_lot::Mutex;
use rand::RngExt;

/// Handed out by this test process, which may run several tests at once.
static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// The first of `count` free ports in a row on loopback.
///
/// They lie below the kernel's ephemeral range, so that no outgoing connection takes the port of
/// a process that is down for a moment.
///
/// # Errors
/// Where none are found in a hundred draws.
pub fn free_block(count: u16) -> Result<u16> {
    let mut taken = TAKEN.lock();
    for _ in 0..100 {
        let base: u16 = rand::rng().random_range(12_000..32_000);
        let block = base..base + count;
        let free = |port| !taken.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if block.clone().all(free) {
            taken.extend(block);
            return Ok(base);
        }
    }
    bail!("no {count} free ports in a row between 12000 and 32000")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn two_blocks_never_overlap() {
        let mut seen = BTreeSet::new();
        for _ in 0..20 {
            let base = free_block(4).unwrap();
            assert!((base..base + 4).all(|port| seen.insert(port)), "{base}");
        }
    }
}
