//! From results to messages: panics become diagnostics, secrets stay here.

use std::future::Future;

use tfplugin::panics::{self, Panic};
use tfplugin::wire::tfplugin6 as wire;
use tfplugin::{Path, Step, Type, Value, v6};
use tonic::Status;

use super::Server;
use crate::context::{Context, Deferral};
use crate::diagnostics::Diagnostics;
use crate::provider::Provider;
use crate::resource;

/// A result on its way out.
pub(super) struct Answer<T> {
    pub value: Option<T>,
    pub diagnostics: Vec<wire::Diagnostic>,
    pub deferred: Option<wire::Deferred>,
}

/// A call whose panic is an error like any other.
pub(super) async fn guard<T>(work: impl Future<Output = resource::Result<T>>) -> resource::Result<T> {
    panics::catch(work).await.unwrap_or_else(|panic| Err(panicked(&panic)))
}

/// What was found: errors are the result, and warnings stand beside it.
pub(super) fn report(context: &Context, found: Diagnostics) -> resource::Result<()> {
    if found.has_errors() {
        return Err(found);
    }
    found.into_iter().for_each(|diagnostic| context.report(diagnostic));
    Ok(())
}

impl<P: Provider> Server<P> {
    /// What a call came to, with everything that it reported on the way.
    pub(super) fn answer<T>(&self, context: Context, result: resource::Result<T>) -> Answer<T> {
        let (mut diagnostics, deferral) = context.finish();
        let value = result.map_err(|errors| diagnostics.extend(errors)).ok();
        Answer { value, diagnostics: self.out(diagnostics), deferred: deferral.map(reason) }
    }

    /// Diagnostics as messages, without secrets.
    pub(super) fn out(&self, diagnostics: Diagnostics) -> Vec<wire::Diagnostic> {
        let clean = |mut diagnostic: tfplugin::Diagnostic| {
            diagnostic.detail = placed(&diagnostic);
            diagnostic.summary = self.redactor.redact(&diagnostic.summary);
            diagnostic.detail = self.redactor.redact(&diagnostic.detail);
            tracing::debug!(diagnostic_severity = ?diagnostic.severity, diagnostic_summary = diagnostic.summary, "told the user");
            diagnostic.attribute = diagnostic.attribute.map(|path| self.known_to_all(path));
            wire::Diagnostic::from(&diagnostic)
        };
        diagnostics.into_iter().map(clean).collect()
    }
}

impl<P: Provider> Server<P> {
    /// The part of a path before a map's key that is a secret itself.
    fn known_to_all(&self, mut path: Path) -> Path {
        let secret = |step: &Step| matches!(step, Step::Key(key) if self.redactor.redact(key) != *key);
        let open = path.0.iter().position(secret).unwrap_or(path.0.len());
        path.0.truncate(open);
        path
    }
}

/// The detail, with the path where the command line does not show it: it points at top-level attributes only, and at the
/// whole resource for what is deeper.
fn placed(diagnostic: &tfplugin::Diagnostic) -> String {
    let detail = &diagnostic.detail;
    match &diagnostic.attribute {
        Some(path) if path.0.len() > 1 && !detail.contains(&path.to_string()) => {
            let gap = if detail.is_empty() { "" } else { "\n\n" };
            format!("{detail}{gap}This is about `{path}`.")
        }
        _ => detail.clone(),
    }
}

fn panicked(panic: &Panic) -> Diagnostics {
    Diagnostics::error(
        "The provider panicked",
        format!("{panic}\n\nThis is a bug in the provider; please report it with the output of TF_LOG=trace."),
    )
}

fn reason(deferral: Deferral) -> wire::Deferred {
    use wire::deferred::Reason;
    let reason = match deferral {
        Deferral::ResourceConfigUnknown => Reason::ResourceConfigUnknown,
        Deferral::ProviderConfigUnknown => Reason::ProviderConfigUnknown,
        Deferral::AbsentPrerequisite => Reason::AbsentPrereq,
    };
    wire::Deferred { reason: reason.into() }
}

pub(super) fn decode(message: Option<&wire::DynamicValue>, ty: &Type) -> Result<Value, Status> {
    v6::decode_value(message, ty).map_err(|error| Status::invalid_argument(error.to_string()))
}

pub(super) fn encode(value: &Value, ty: &Type) -> Result<wire::DynamicValue, Status> {
    v6::encode_value(value, ty).map_err(|error| Status::internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfplugin::{Diagnostic, Path};

    #[test]
    fn a_nested_path_is_said_in_words_and_only_once() {
        let nested = Path::attribute("recovery_point").then("at");
        let plain = Diagnostic::error("Unusable time", "It has no zone.").at(nested.clone());
        assert_eq!(placed(&plain), "It has no zone.\n\nThis is about `recovery_point.at`.");
        let named = Diagnostic::error("Unusable time", "`recovery_point.at` has no zone.").at(nested);
        assert_eq!(placed(&named), named.detail);
        let shallow = Diagnostic::error("Unusable name", "It is empty.").at(Path::attribute("name"));
        assert_eq!(placed(&shallow), shallow.detail);
    }
}
