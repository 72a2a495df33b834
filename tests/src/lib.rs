//! What the tests with real processes share: a cluster whose processes can be killed and frozen,
//! a load that knows what it was promised, a probe that measures gaps, and the checks afterwards.
//!
//! Nothing here knows DuckDB or openraft: it sees what a user and an operator see.

pub mod admin;
pub mod chaos;
pub mod check;
pub mod cluster;
pub mod content;
pub mod idle;
pub mod launch;
pub mod load;
pub mod machine;
pub mod metrics;
pub mod opening;
pub mod port;
pub mod probe;
pub mod process;
pub mod raw;
pub mod reader;
pub mod replica;
pub mod scale;
pub mod volume;
pub mod wait;
