//! How far rustic_core is with reading all data, for the reporter.

use super::super::progress::Progress;
use super::reporter::Reporter;
use rustic_core::{ProgressBars, ProgressType, RusticProgress};
use std::fmt;
use std::sync::Arc;

/// Counts bytes; everything else that rustic_core counts takes moments.
#[derive(Clone)]
pub struct Bars(pub Arc<Reporter>);

impl fmt::Debug for Bars {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Bars")
    }
}

impl ProgressBars for Bars {
    fn progress(&self, kind: ProgressType, _prefix: &str) -> rustic_core::Progress {
        match kind {
            ProgressType::Bytes => rustic_core::Progress::new(self.clone()),
            ProgressType::Spinner | ProgressType::Counter => rustic_core::Progress::hidden(),
        }
    }
}

impl RusticProgress for Bars {
    fn is_hidden(&self) -> bool {
        false
    }

    fn set_length(&self, length: u64) {
        self.0.totals(0, length);
    }

    fn set_title(&self, _title: &str) {}

    fn inc(&self, bytes: u64) {
        self.0.bytes(bytes);
    }

    fn finish(&self) {}
}
