//! How full a volume is: simulated ones have room.

/// As the worker's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Space {
    /// There is room.
    #[default]
    Enough,
}
