//! Engines, one folder each.

pub mod concepts;
pub mod declared;
pub mod k8up;
pub mod kubernetes;
pub mod restic;
pub mod table;
#[cfg(feature = "toy")]
pub mod toy;
pub mod velero;
pub mod volsync;

use concepts::PointSource;

/// Where the points of an engine are read.
pub fn point_source(engine: &str) -> Option<&'static dyn PointSource> {
    const SOURCES: [&dyn PointSource; 4] = [
        &restic::listing::Repositories,
        &velero::listing::Buckets,
        &k8up::listing::Repositories,
        &volsync::listing::Repositories,
    ];
    SOURCES.into_iter().find(|source| source.engine() == engine)
}
