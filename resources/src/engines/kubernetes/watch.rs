//! Waiting for objects: all runs that wait for objects of one kind and namespace share one list per interval.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::connections::kubernetes::{Cluster, ClusterError, DynamicObject, Kind};
use crate::poll::{Look, Poller};

/// How often it is looked.
const INTERVAL: Duration = Duration::from_secs(3);

/// The objects of a kind and namespace, by name.
pub type Objects = HashMap<String, DynamicObject>;

/// Connection, kind and namespace.
type Place = (String, Kind, String);

/// Those who wait in one provider process.
#[derive(Clone)]
pub struct Watches(Arc<Poller<Place, Result<Objects, ClusterError>>>);

impl Default for Watches {
    fn default() -> Self {
        Watches::every(clock::scaled(INTERVAL))
    }
}

impl Watches {
    /// Those who look once in `interval`.
    pub fn every(interval: Duration) -> Self {
        Watches(Arc::new(Poller::new(interval)))
    }

    /// Waits until `found` sees in the objects what it waits for. A server that is away for a while ends no wait; one that
    /// refuses does.
    pub async fn wait_for<T>(
        &self,
        cluster: &Cluster,
        kind: &Kind,
        namespace: &str,
        mut found: impl FnMut(&Objects) -> Option<T>,
    ) -> Result<T, ClusterError> {
        let place = (cluster.name().to_owned(), kind.clone(), namespace.to_owned());
        let look = look(cluster.clone(), kind.clone(), namespace.to_owned());
        let judge = |answer: &Result<Objects, ClusterError>| match answer {
            Ok(objects) => found(objects).map(Ok),
            Err(error) if passes(error) => None,
            Err(error) => Some(Err(error.clone())),
        };
        self.0.wait_for(&place, &look, judge).await
    }
}

fn look(cluster: Cluster, kind: Kind, namespace: String) -> Look<Result<Objects, ClusterError>> {
    Arc::new(move || {
        let (cluster, kind, namespace) = (cluster.clone(), kind.clone(), namespace.clone());
        Box::pin(async move {
            let objects = cluster.list(&kind, Some(&namespace), None).await?;
            let named = |object: DynamicObject| Some((object.metadata.name.clone()?, object));
            Ok(objects.into_iter().filter_map(named).collect())
        })
    })
}

/// Whether an error passes by itself: a server that restarts answers in all these ways.
fn passes(error: &ClusterError) -> bool {
    match error {
        ClusterError::Unreachable { .. } | ClusterError::Broken { .. } => true,
        ClusterError::Server { status, .. } => *status >= 500 || *status == 429,
        _ => false,
    }
}
