//! Logs as hosts read them: one JSON object on each line of standard error, in the manner of hclog.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value as Json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

pub use crate::panics::install_hook as install_panic_hook;

/// Takes secrets out of a text.
pub type Redact = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// Formats events for `tracing_subscriber::fmt`, together with [`JsonFields`] for the fields of spans. A host shows
/// each line at its level, and takes a line that it can't read for plain text.
///
/// ```
/// use tfplugin::logging::HclogFormat;
/// use tracing_subscriber::fmt::format::JsonFields;
///
/// let subscriber = tracing_subscriber::fmt()
///     .with_writer(std::io::stderr)
///     .fmt_fields(JsonFields::new())
///     .event_format(HclogFormat::new("provider.dr"))
///     .finish();
/// ```
pub struct HclogFormat {
    module: String,
    redact: Option<Redact>,
}

impl HclogFormat {
    /// Events of the module of this name.
    pub fn new(module: impl Into<String>) -> Self {
        HclogFormat { module: module.into(), redact: None }
    }

    /// The same, with every text passed through `redact`.
    #[must_use]
    pub fn redacting(mut self, redact: Redact) -> Self {
        self.redact = Some(redact);
        self
    }

    fn line(&self, level: Level, fields: Map<String, Json>) -> Map<String, Json> {
        let mut timestamp = String::new();
        // Exactly six digits of a second: with any other number the host takes the line for plain text.
        let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
        let mut line = Map::new();
        line.insert("@level".to_owned(), level.as_str().to_ascii_lowercase().into());
        line.insert("@message".to_owned(), "".into());
        line.insert("@module".to_owned(), self.module.clone().into());
        line.insert("@timestamp".to_owned(), timestamp.into());
        for (name, value) in fields {
            match name.as_str() {
                "message" => line.insert("@message".to_owned(), self.redacted(text(value))),
                // Those are the host's.
                name if name.starts_with('@') => None,
                _ => line.insert(name, self.redacted(value)),
            };
        }
        line
    }

    fn redacted(&self, value: Json) -> Json {
        match (&self.redact, value) {
            (Some(redact), Json::String(text)) => redact(&text).into(),
            (_, value) => value,
        }
    }
}

/// A host takes no message but text.
fn text(value: Json) -> Json {
    match value {
        Json::String(_) => value,
        other => other.to_string().into(),
    }
}

impl<S> FormatEvent<S, JsonFields> for HclogFormat
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Map::new();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let formatted = extensions.get::<FormattedFields<JsonFields>>();
            if let Some(Ok(of_span)) = formatted.map(|text| serde_json::from_str::<Map<String, Json>>(&text.fields)) {
                fields.extend(of_span.into_iter().filter(|(name, _)| name != "message"));
            }
        }
        event.record(&mut Collect(&mut fields));
        let line = self.line(*event.metadata().level(), fields);
        writeln!(writer, "{}", Json::Object(line))
    }
}

/// Collects the fields of an event.
struct Collect<'a>(&'a mut Map<String, Json>);

impl Collect<'_> {
    fn add(&mut self, field: &Field, value: impl Into<Json>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Collect<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, value.to_string());
    }
}

#[cfg(test)]
mod tests;
