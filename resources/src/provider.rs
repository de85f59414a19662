//! The provider: what it serves.

use std::sync::Arc;

use dr_framework::{
    AnyDataSource, AnyResource, Context, Diagnostic, Diagnostics, Function, Path, Provider, Redactor, Result,
    async_trait, data_source, resource,
};

use crate::backup_job::BackupJobs;
use crate::backup_schedule::BackupSchedules;
use crate::backup_target::BackupTargets;
use crate::functions;
use crate::recovery_points::RecoveryPointLists;
use crate::restore_job::RestoreJobs;
use crate::retention_policy::RetentionPolicies;
use crate::settings::Settings;
use crate::shared::Shared;

/// The `dr` provider.
pub struct Dr {
    shared: Arc<Shared>,
}

impl Dr {
    /// A provider that is not configured yet.
    pub fn new(redactor: Redactor) -> Self {
        Dr::sharing(Shared::new(redactor))
    }

    /// The same, whose resources share this.
    pub fn sharing(shared: Shared) -> Self {
        Dr { shared: Arc::new(shared) }
    }
}

#[async_trait]
impl Provider for Dr {
    type Config = Settings;

    async fn validate(&self, _: &Context, config: &Settings) -> Diagnostics {
        config.check()
    }

    async fn configure(&self, context: &Context, config: Settings) -> Result<()> {
        if config.mode.is_unknown() || config.drill.is_unknown() {
            return Err(Diagnostics::error_at(
                Path::attribute("mode"),
                "The mode is not known yet",
                "`mode` and `drill` have to be known while planning, or a drill could be planned as the real thing.",
            ));
        }
        if let Some(drill) = config.drill_in_words() {
            context.report(Diagnostic::warning("This is a drill", drill).at(Path::attribute("mode")));
        }
        self.shared.configure(config);
        Ok(())
    }

    fn apply_begins(&self) {
        self.shared.apply_begins();
    }

    fn resources(&self) -> Vec<Box<dyn AnyResource>> {
        vec![
            resource(BackupTargets::new(self.shared.clone())),
            resource(RetentionPolicies),
            resource(BackupSchedules::new(self.shared.clone())),
            resource(BackupJobs::new(self.shared.clone())),
            resource(RestoreJobs::new(self.shared.clone())),
        ]
    }

    fn data_sources(&self) -> Vec<Box<dyn AnyDataSource>> {
        vec![data_source(RecoveryPointLists::new(self.shared.clone()))]
    }

    fn functions(&self) -> Vec<Box<dyn Function>> {
        functions::all()
    }
}
