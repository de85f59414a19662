//! Where a drill may restore to in a cluster.

use dr_framework::{Attr, Diagnostics, Result};

use crate::jobs::texts;
use crate::settings::DrillSettings;
use crate::shared::Shared;

/// A drill restores only where it says.
pub fn check_drill(shared: &Shared, cluster: &str, namespaces: &[String]) -> Result<()> {
    let Some(settings) = shared.settings().filter(|settings| settings.is_drill()) else { return Ok(()) };
    let drill = settings.drill.known();
    let named = |list: fn(&DrillSettings) -> &Attr<Vec<Attr<String>>>, name: &str| {
        drill.is_some_and(|drill| texts(list(drill)).iter().any(|allowed| allowed == "*" || allowed == name))
    };
    let allowed = named(|drill| &drill.connections, cluster)
        && namespaces.iter().all(|namespace| named(|drill| &drill.namespaces, namespace));
    if allowed {
        return Ok(());
    }
    Err(Diagnostics::error(
        "This drill restores into no cluster",
        format!(
            "Namespaces {} of cluster `{cluster}` are not named under `drill` in the provider block.",
            namespaces.join(", ")
        ),
    ))
}
