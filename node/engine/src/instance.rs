//! Opening DuckDB so that no statement can reach outside of it.

use std::path::Path;
use std::sync::Arc;

use duckdb::{Config, Connection};
use parking_lot::Mutex;

use crate::fault::Fault;

/// What an instance may use.
pub(crate) struct Shares<'a> {
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Threads.
    pub threads: usize,
    /// Where it spills, and how many bytes; nowhere if none.
    pub spill: Option<(&'a Path, u64)>,
}

/// Opens an instance in memory. [`harden`] must follow once its files are attached.
///
/// The first database of an instance is always `:memory:`: a failed checkpoint invalidates its
/// database, and with the first one the whole instance.
pub(crate) fn open(shares: &Shares<'_>) -> Result<Connection, Fault> {
    let (spill, spill_bytes) = match shares.spill {
        Some((folder, bytes)) => (folder.to_string_lossy().into_owned(), bytes),
        None => (String::new(), 0),
    };
    let settings = [
        ("memory_limit", format!("{}B", shares.memory_bytes)),
        ("threads", shares.threads.max(1).to_string()),
        ("temp_directory", spill),
        ("max_temp_directory_size", format!("{spill_bytes}B")),
        ("autoload_known_extensions", "false".into()),
        ("autoinstall_known_extensions", "false".into()),
        ("allow_community_extensions", "false".into()),
        ("allow_unsigned_extensions", "false".into()),
        ("allow_persistent_secrets", "false".into()),
        // The checkpoint thread alone says when: one that a commit starts would stop apply.
        ("checkpoint_threshold", "1TB".into()),
    ];
    let mut config = Config::default();
    for (name, value) in settings {
        config = config.with(name, value)?;
    }
    Ok(Connection::open_in_memory_with_flags(config)?)
}

/// Closes the instance's way to files and fixes its settings, for every connection and for good.
/// Only what one connection of ours sets for itself stays open.
pub(crate) fn harden(connection: &Connection) -> Result<(), Fault> {
    connection.execute_batch(
        "SET enable_external_access = false;
         SET allowed_configs = ['operator_memory_limit', 'streaming_buffer_size'];
         SET lock_configuration = true;",
    )?;
    Ok(())
}

/// Makes connections to an instance, for threads that wait for nobody else's: making one takes
/// DuckDB's locks. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connector(Arc<Mutex<Connection>>);

impl Connector {
    /// Of the instance of this connection.
    pub fn new(connection: &Connection) -> Result<Self, Fault> {
        Ok(Self(Arc::new(Mutex::new(connection.try_clone()?))))
    }

    /// A connection with no settings of its own.
    pub fn connect(&self) -> Result<Connection, Fault> {
        Ok(self.0.lock().try_clone()?)
    }
}
