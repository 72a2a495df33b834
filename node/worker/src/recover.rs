//! Recovery by hand, after a majority of the cluster's stores is gone for ever.
//!
//! Nothing runs meanwhile. Each store that is left is looked at ([`Recovering::survey`] gives a
//! [`Report`]), a pure function makes one [`Plan`] of all their reports, and each store does its part
//! of it ([`Recovering::apply`]). The same reports give the same plan, whoever asks.
//!
//! The plan takes every group, whether it lost its quorum or not, from the store with the newest log
//! of it, and makes a new replica there its only voter. Then the stores are started, and the groups
//! grow again as they do in any cluster with too few copies.

mod apply;
mod plan;
mod reach;
mod report;
mod survey;

use std::path::Path;

pub use apply::ApplyError;
pub use plan::{GroupPlan, Plan, PlanError, plan};
use raftduck_model::StoreId;
pub use reach::{Reached, reach};
pub use report::{ReplicaReport, Report, ReportError};
pub use survey::SurveyError;

use crate::volume::Volume;
pub use crate::volume::VolumeError;

/// A volume that is being recovered. No worker can open it meanwhile.
pub struct Recovering {
    volume: Volume,
}

impl Recovering {
    /// Takes the volume for itself.
    ///
    /// # Errors
    /// Where the folder holds no store, or a worker has it open.
    pub fn open(folder: &Path, level: u32) -> Result<Self, VolumeError> {
        Ok(Self { volume: Volume::open_to_recover(folder, level)? })
    }

    /// Whose volume it is.
    pub fn store(&self) -> StoreId {
        self.volume.store()
    }

    /// The plan that was begun here and not finished: it has to be applied again before anything else.
    ///
    /// # Errors
    /// Where its record cannot be read.
    pub fn begun(&self) -> Result<Option<Plan>, VolumeError> {
        self.volume.records().recovery()
    }

    /// What the volume holds. Nothing in it is changed, except that the log's torn end is dropped, as at
    /// every start.
    ///
    /// # Errors
    /// See [`SurveyError`].
    pub fn survey(&self) -> Result<Report, SurveyError> {
        survey::survey(&self.volume)
    }

    /// Does this volume's part of the plan. It may be killed anywhere within and begun again.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub fn apply(&self, plan: &Plan) -> Result<(), ApplyError> {
        apply::apply(&self.volume, plan)
    }
}
