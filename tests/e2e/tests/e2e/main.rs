//! What a platform team does to a cluster that is written to all the while, and what happens to it. Each test has a
//! database of its own, and looks at its end for every row that was acknowledged.

mod faults;
mod kills;
mod lifecycle;
mod upgrades;
