//! Raft for all of a store's groups: storage, transport and handles.
//!
//! The only crate that knows openraft. A [`Host`] holds what a store's groups share (the log, the
//! connections to its peers); [`Host::open`] gives a [`Group`] that is proposed to, read from and
//! watched; a [`StateMachine`] is what its log is applied to.
//!
//! # What is bounded, and by what
//! * Proposals waiting for the core: 65,536; each is at most [`group::COMMAND_BYTES`]. Whoever
//!   proposes bounds their bytes, from proposal to application.
//! * Entries under way: 4 MiB per group and follower, 48 MiB per peer.
//! * Entries received and not answered: 96 MiB per peer, then its streams are refused.
//! * Entries committed and not applied: 16 MiB per group in memory; the rest waits in the log.
//! * A snapshot under way: 4 MiB where it is sent, 16 MiB where it is received; one is sent and two
//!   are received at a time.

// The tests' state machine is shared with the integration tests, which know the crate by name.
#[cfg(test)]
extern crate self as raftduck_consensus;

mod applier;
mod blocking;
pub mod codec;
#[cfg(test)]
mod conformance;
mod counters;
mod frame;
pub mod group;
mod host;
pub mod machine;
mod membership;
mod proposal;
pub mod recover;
mod service;
mod status;
pub mod storage;
mod timing;
mod transport;
pub mod types;

pub use counters::Totals;
pub use frame::{Class, Kind};
pub use group::{Group, InitializeError, ReadError, Stopped, TransferError};
pub use host::{AddressBook, Host, HostConfig, OpenError};
pub use machine::StateMachine;
pub use membership::{ChangeError, MemberStep, Members};
pub use proposal::{Proposal, ProposeError};
pub use service::PeerService;
pub use status::{Follower, Role, Status};
pub use timing::{Timing, TimingError};
