//! Specs of objects out of attributes: what is not set is left out.

use std::collections::BTreeMap;

use dr_framework::{Anything, Attr, Value as Configured};
use serde_json::{Map, Value, json};

use super::label_selector::{self, MatchExpressions};

/// A list of texts, as attributes hold it.
pub type Texts = Attr<Vec<Attr<String>>>;

/// A map of texts, as attributes hold it.
pub type TextMap = Attr<BTreeMap<String, Attr<String>>>;

/// A spec that is being written. What is null or not known yet is left out.
#[derive(Debug, Default)]
pub struct Spec(Map<String, Value>);

impl Spec {
    /// Sets a field.
    pub fn set(&mut self, field: &str, value: impl Into<Value>) -> &mut Self {
        self.0.insert(field.to_owned(), value.into());
        self
    }

    /// Sets a text.
    pub fn text(&mut self, field: &str, value: &Attr<String>) -> &mut Self {
        if let Some(text) = value.text() {
            self.set(field, text);
        }
        self
    }

    /// Sets a switch.
    pub fn switch(&mut self, field: &str, value: &Attr<bool>) -> &mut Self {
        if let Some(switch) = value.known() {
            self.set(field, *switch);
        }
        self
    }

    /// Sets a list; an empty one says nothing.
    pub fn list(&mut self, field: &str, value: &Texts) -> &mut Self {
        let texts = crate::jobs::texts(value);
        if !texts.is_empty() {
            self.set(field, texts);
        }
        self
    }

    /// Sets a map; an empty one says nothing.
    pub fn map(&mut self, field: &str, value: &TextMap) -> &mut Self {
        let texts = value.known().map(map).unwrap_or_default();
        if !texts.is_empty() {
            self.set(field, json!(texts));
        }
        self
    }

    /// Sets a selector of labels.
    pub fn selector(&mut self, field: &str, labels: &TextMap, expressions: &MatchExpressions) -> &mut Self {
        if let Some(selector) = label_selector::selector(labels, expressions) {
            self.set(field, selector);
        }
        self
    }

    /// Sets selectors of labels of which one is enough; an empty list says nothing.
    pub fn selectors(&mut self, field: &str, sets: &Attr<Vec<TextMap>>) -> &mut Self {
        let one = |labels: &TextMap| label_selector::selector(labels, &Attr::Null).unwrap_or_else(|| json!({}));
        let sets: Vec<Value> = sets.known().into_iter().flatten().map(one).collect();
        if !sets.is_empty() {
            self.set(field, sets);
        }
        self
    }

    /// Sets a reference to a ConfigMap of the same namespace.
    pub fn config_map(&mut self, field: &str, name: &Attr<String>) -> &mut Self {
        if let Some(name) = name.text() {
            self.set(field, json!({ "kind": "ConfigMap", "name": name }));
        }
        self
    }

    /// Sets what is passed through as it is.
    pub fn anything(&mut self, field: &str, value: &Attr<Anything>) -> &mut Self {
        if let Some(value) = value.known().and_then(|anything| passed(&anything.0)) {
            self.set(field, value);
        }
        self
    }

    /// The spec.
    pub fn done(&mut self) -> Value {
        Value::Object(std::mem::take(&mut self.0))
    }
}

/// Whether every element of a list is known.
pub fn all_known(list: &Texts) -> bool {
    list.known().is_some_and(|list| list.iter().all(Attr::is_known))
}

fn map(texts: &BTreeMap<String, Attr<String>>) -> BTreeMap<String, String> {
    texts.iter().filter_map(|(key, value)| Some((key.clone(), value.text()?.to_owned()))).collect()
}

/// A value of any type as JSON; nulls are what is not set.
fn passed(value: &Configured) -> Option<Value> {
    let entries = |values: &BTreeMap<String, Configured>| {
        Value::Object(values.iter().filter_map(|(key, value)| Some((key.clone(), passed(value)?))).collect())
    };
    Some(match value {
        Configured::Null | Configured::Unknown(_) => return None,
        Configured::Bool(truth) => json!(truth),
        Configured::String(text) => json!(text),
        // What no number of JSON here holds exactly, as 0.1, is the nearest that it does: nothing goes missing.
        Configured::Number(number) => match number.as_i64() {
            Some(whole) => json!(whole),
            None => number.to_string().parse().unwrap_or(Value::Null),
        },
        Configured::List(values) | Configured::Set(values) | Configured::Tuple(values) => {
            values.iter().filter_map(passed).collect()
        }
        Configured::Map(values) | Configured::Object(values) => entries(values),
        Configured::Dynamic(inner) => return passed(&inner.1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_through_keeps_its_shape_and_loses_its_nulls() {
        let hook = Configured::object([
            ("name", Configured::string("freeze")),
            ("timeout", Configured::Null),
            ("command", Configured::Tuple(vec![Configured::string("sync"), Configured::Number(2_i64.into())])),
        ]);
        let dynamic = Anything(Configured::object([("pre", Configured::Tuple(vec![hook]))]));
        let spec = Spec::default().anything("hooks", &Attr::Known(dynamic)).done();
        assert_eq!(spec, json!({ "hooks": { "pre": [{ "name": "freeze", "command": ["sync", 2] }] } }));
    }

    #[test]
    fn no_number_goes_missing() {
        for text in ["0", "-7", "0.1", "0.2", "100.1", "1.5", "9223372036854775808", "1e300", "-2.5e-7"] {
            let number = Configured::Number(text.parse().unwrap());
            let dynamic = Anything(Configured::Tuple(vec![number, Configured::string("after it")]));
            let spec = Spec::default().anything("limits", &Attr::Known(dynamic)).done();
            let nearest: f64 = text.parse().unwrap();
            assert_eq!(spec["limits"][0].as_f64(), Some(nearest), "{text}: {spec}");
            assert_eq!(spec["limits"][1], "after it");
        }
    }
}
