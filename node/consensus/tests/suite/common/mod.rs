//! What the integration tests share.
pub mod cluster;
pub mod machine;
pub mod process;
pub mod proxy;
