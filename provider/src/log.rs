//! Logs and panics, on standard error as the CLIs read them, without secrets.

use std::sync::Arc;

use dr_framework::Redactor;
use tfplugin::logging::{HclogFormat, install_panic_hook};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Sends this project's own events to standard error. Those of libraries stay off: HTTP clients print headers.
pub fn start(redactor: &Redactor) {
    let redact = {
        let redactor = redactor.clone();
        Arc::new(move |text: &str| redactor.redact(text)) as tfplugin::logging::Redact
    };
    let level = level();
    let ours = ["terraform_provider_dr", "dr_resources", "dr_framework", "tfplugin"];
    let filter = Targets::new().with_targets(ours.map(|target| (target, level)));
    let layer = tracing_subscriber::fmt::layer()
        .fmt_fields(JsonFields::new())
        .event_format(HclogFormat::new("provider.dr").redacting(redact.clone()))
        .with_writer(std::io::stderr);
    tracing_subscriber::registry().with(filter).with(layer).init();
    install_panic_hook(redact);
}

/// The level that the CLI asks for; it filters again itself.
fn level() -> LevelFilter {
    let variables = ["TF_LOG_PROVIDER_DR", "TF_LOG_PROVIDER", "TF_LOG"];
    let set = variables.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    match set.map(|value| value.to_ascii_lowercase()).as_deref() {
        None | Some("off") => LevelFilter::OFF,
        Some("error") => LevelFilter::ERROR,
        Some("warn") => LevelFilter::WARN,
        Some("info") => LevelFilter::INFO,
        Some("debug") => LevelFilter::DEBUG,
        // JSON and whatever else it may be asks for everything.
        Some(_) => LevelFilter::TRACE,
    }
}
