//! What a host gets to read.

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::*;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn logged(log: impl FnOnce()) -> Vec<Map<String, Json>> {
    let sink = Sink::default();
    let writer = sink.clone();
    let redact: Redact = Arc::new(|text| text.replace("hunter2", "(secret)"));
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_writer(move || writer.clone())
        .fmt_fields(JsonFields::new())
        .event_format(HclogFormat::new("provider.test").redacting(redact))
        .finish();
    tracing::subscriber::with_default(subscriber, log);
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_event_is_one_object_with_the_fields_of_its_spans() {
    let lines = logged(|| {
        let outer = tracing::info_span!("request", tf_rpc = "ReadResource", attempt = 1).entered();
        let _inner = tracing::info_span!("read", attempt = 2).entered();
        tracing::warn!(size = 3_u64, slow = true, error = %"two\nlines", "it was {}", "read");
        drop(outer);
    });
    let mut line = lines[0].clone();
    let timestamp = line.remove("@timestamp").unwrap();
    let expected = serde_json::json!({
        "@level": "warn", "@message": "it was read", "@module": "provider.test",
        "tf_rpc": "ReadResource", "attempt": 2, "size": 3, "slow": true, "error": "two\nlines",
    });
    assert_eq!(Json::Object(line), expected);
    let timestamp = timestamp.as_str().unwrap();
    let fraction = timestamp.split_once('.').unwrap().1;
    assert!(timestamp.len() == 27 && fraction.len() == 7 && fraction.ends_with('Z'), "{timestamp}");
}

#[test]
fn every_level_has_its_name() {
    let lines = logged(|| {
        tracing::trace!("a");
        tracing::debug!("a");
        tracing::info!("a");
        tracing::warn!("a");
        tracing::error!("a");
    });
    let levels: Vec<_> = lines.iter().map(|line| line["@level"].as_str().unwrap()).collect();
    assert_eq!(levels, ["trace", "debug", "info", "warn", "error"]);
}

#[test]
fn secrets_go_out_neither_in_messages_nor_in_fields() {
    let lines = logged(|| {
        let _span = tracing::info_span!("request", token = "hunter2").entered();
        tracing::info!(password = "hunter2", debug = ?["hunter2"], "with hunter2");
    });
    let text = Json::Object(lines[0].clone()).to_string();
    assert!(!text.contains("hunter2") && text.matches("(secret)").count() == 4, "{text}");
}
