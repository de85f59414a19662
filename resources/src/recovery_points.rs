//! `dr_recovery_points`: what could be restored, from the storage itself.

use std::sync::Arc;

use dr_framework::{Attr, Context, DataSource, Deferral, Diagnostics, Model, Path, Result, async_trait};

use crate::engines;
use crate::engines::concepts::{ListedPoint, ListedVolume, Points};
use crate::engines::table::{self, Concept};
use crate::jobs::count;
use crate::reference::Reference;
use crate::shared::Shared;
use crate::{timeouts, validators};

/// The recovery points of a target or a store, newest first, read from the storage itself.
///
/// A target that does not exist yet is waited for. One that exists and holds none gives an empty list; storage that is
/// missing or can't be reached is an error, so that "don't know" is never taken for "nothing there".
#[derive(Model, Clone, Debug)]
pub struct RecoveryPoints {
    /// Where to look: `ref` of a `dr_backup_target`, or a store written out.
    #[dr(required)]
    pub source: Attr<Reference>,
    /// How many points to list, the newest ones.
    #[dr(default = 100, validate = validators::positive)]
    pub limit: Attr<i64>,
    /// The points, newest first; null when the password opens none of the repository's keys.
    #[dr(computed)]
    pub points: Attr<Vec<RecoveryPoint>>,
    /// How many points there are in all.
    #[dr(computed)]
    pub total: Attr<i64>,
    /// Whether the configured password opens the repository.
    #[dr(computed)]
    pub readable: Attr<bool>,
}

/// One recovery point.
#[derive(Model, Clone, Debug)]
pub struct RecoveryPoint {
    /// Its id: what `recovery_point = { id = … }` of a restore job takes.
    #[dr(computed)]
    pub id: Attr<String>,
    /// When it was taken, in RFC 3339 with the offset of the clock that said so; null when it can't be read.
    #[dr(computed)]
    pub time: Attr<String>,
    /// How many bytes it holds; null where that was not written down.
    #[dr(computed)]
    pub bytes: Attr<i64>,
    /// How many files it holds; null where that was not written down.
    #[dr(computed)]
    pub items: Attr<i64>,
    /// `complete`, `incomplete` (something could not be read, or nothing was there), `safety` (what a restore overwrote) or `unreadable`.
    #[dr(computed)]
    pub phase: Attr<String>,
    /// Whether it was read back whole since it was stored; null where nobody knows.
    #[dr(computed)]
    pub verified: Attr<bool>,
    /// Whether it is encrypted.
    #[dr(computed)]
    pub encrypted: Attr<bool>,
    /// The host that was backed up.
    #[dr(computed)]
    pub host: Attr<String>,
    /// The paths that were backed up.
    #[dr(computed)]
    pub paths: Attr<Vec<Attr<String>>>,
    /// Its tags.
    #[dr(computed)]
    pub tags: Attr<Vec<Attr<String>>>,
    /// The namespaces that it holds, as they were asked for: `*` is all. Empty where the engine knows none.
    #[dr(computed)]
    pub namespaces: Attr<Vec<Attr<String>>>,
    /// Its volumes, of the points that are listed. Empty where the engine knows none.
    #[dr(computed)]
    pub volumes: Attr<Vec<PointVolume>>,
    /// When the engine will remove it, in RFC 3339; null where it does not say.
    #[dr(computed)]
    pub expires: Attr<String>,
}

/// A volume in a recovery point.
#[derive(Model, Clone, Debug)]
pub struct PointVolume {
    /// Its claim.
    #[dr(computed)]
    pub claim: Attr<String>,
    /// The namespace of the claim.
    #[dr(computed)]
    pub namespace: Attr<String>,
    /// How its content was saved: `file_system` (out of the pod that mounts it), `moved_snapshot`, `csi_snapshot`,
    /// `native_snapshot`, or `none`: then it comes back empty.
    #[dr(computed)]
    pub method: Attr<String>,
    /// How many bytes it holds; null where that was not written down.
    #[dr(computed)]
    pub bytes: Attr<i64>,
}

/// The data source.
pub struct RecoveryPointLists {
    shared: Arc<Shared>,
}

impl RecoveryPointLists {
    /// With what it shares.
    pub fn new(shared: Arc<Shared>) -> Self {
        RecoveryPointLists { shared }
    }
}

#[async_trait]
impl DataSource for RecoveryPointLists {
    type Model = RecoveryPoints;

    fn type_name(&self) -> &'static str {
        "dr_recovery_points"
    }

    async fn validate(&self, _: &Context, config: &RecoveryPoints) -> Diagnostics {
        let mut found = Diagnostics::default();
        if let Attr::Known(source) = &config.source {
            let path = Path::attribute("source");
            found.extend(source.check(&path, &["backup_target", "store"], &table::with(Concept::Points)));
            let engine = source.engine.text().and_then(engines::point_source);
            found.extend(engine.map(|engine| engine.check(source, &path)).unwrap_or_default());
        }
        found
    }

    async fn read(&self, context: &Context, config: RecoveryPoints) -> Result<RecoveryPoints> {
        let limit = config.limit.known().and_then(|limit| usize::try_from(*limit).ok()).unwrap_or(100);
        let work = async {
            let source = config.source.known().cloned().unwrap_or_default();
            let engine = source.engine.text().and_then(engines::point_source).ok_or_else(unknown)?;
            let listed = engine.list(&self.shared, &source, &Path::attribute("source"), limit).await?;
            listed.ok_or_else(|| {
                context.defer(Deferral::ProviderConfigUnknown);
                unknown()
            })
        };
        let listed = timeouts::within(context, "listing recovery points", timeouts::READ, work).await?;
        Ok(match listed {
            Points::Unreadable => {
                RecoveryPoints { points: Attr::Null, total: Attr::Null, readable: Attr::Known(false), ..config }
            }
            Points::Listed(points) => RecoveryPoints {
                points: Attr::Known(points.iter().take(limit).map(row).collect()),
                total: Attr::Known(count(u64::try_from(points.len()).unwrap_or(u64::MAX))),
                readable: Attr::Known(true),
                ..config
            },
        })
    }
}

fn unknown() -> Diagnostics {
    Diagnostics::error_at(
        Path::attribute("source"),
        "The source is not known yet",
        "Its connection or secret still has an unknown value while this is planned. Pass the `ref` of the target, which \
         is waited for, or add `depends_on`.",
    )
}

fn row(point: &ListedPoint) -> RecoveryPoint {
    let list = |texts: &[String]| Attr::Known(texts.iter().cloned().map(Attr::Known).collect());
    RecoveryPoint {
        id: Attr::Known(point.id.clone()),
        time: point.time.clone().into(),
        bytes: point.bytes.map(count).into(),
        items: point.items.map(count).into(),
        phase: point.phase.into(),
        verified: point.verified.into(),
        encrypted: point.encrypted.into(),
        host: point.host.clone().into(),
        paths: list(&point.paths),
        tags: list(&point.tags),
        namespaces: list(&point.namespaces),
        volumes: Attr::Known(point.volumes.iter().map(volume).collect()),
        expires: point.expires.clone().into(),
    }
}

fn volume(volume: &ListedVolume) -> PointVolume {
    PointVolume {
        claim: Attr::Known(volume.claim.clone()),
        namespace: Attr::Known(volume.namespace.clone()),
        method: volume.method.into(),
        bytes: volume.bytes.map(count).into(),
    }
}
