//! Selectors of labels, as Kubernetes has them: exact labels, and conditions on them.

use dr_framework::{Attr, Diagnostic, Diagnostics, Model, Path, Value as Configured};
use serde_json::{Value, json};

use super::imported;
use super::spec::{Spec, TextMap, Texts};
use crate::jobs::texts;

/// A condition on a label.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct MatchExpression {
    /// The label.
    #[dr(required)]
    pub key: Attr<String>,
    /// `In` and `NotIn` compare with `values`; `Exists` and `DoesNotExist` look at the label alone.
    #[dr(required, validate = operator)]
    pub operator: Attr<String>,
    /// The values.
    #[dr(optional)]
    pub values: Texts,
}

/// Conditions that all have to hold.
pub type MatchExpressions = Attr<Vec<Attr<MatchExpression>>>;

const OPERATORS: [&str; 4] = ["In", "NotIn", "Exists", "DoesNotExist"];

fn operator(value: &Configured, path: &Path) -> Vec<Diagnostic> {
    match value {
        Configured::String(word) if !OPERATORS.contains(&word.as_str()) => {
            let known = OPERATORS.map(|word| format!("{word:?}")).join(", ");
            Diagnostics::error_at(path.clone(), "Unknown word", format!("{word:?} is none of {known}.")).0
        }
        _ => Vec::new(),
    }
}

impl MatchExpression {
    fn spec(&self) -> Value {
        let mut spec = Spec::default();
        spec.text("key", &self.key).text("operator", &self.operator).list("values", &self.values).done()
    }

    fn imported(value: &Value) -> Self {
        MatchExpression {
            key: imported::text(&value["key"]),
            operator: imported::text(&value["operator"]),
            values: imported::list(&value["values"]),
        }
    }

    /// What the API server refuses.
    fn refused(&self) -> Option<&'static str> {
        match (self.operator.text()?, &self.values) {
            (_, Attr::Unknown) => None,
            ("In" | "NotIn", values) if texts(values).is_empty() => {
                Some("`In` and `NotIn` compare with values: name at least one in `values`.")
            }
            ("Exists" | "DoesNotExist", values) if !texts(values).is_empty() => {
                Some("`Exists` and `DoesNotExist` compare with nothing: leave `values` out.")
            }
            _ => None,
        }
    }
}

fn known(expressions: &MatchExpressions) -> impl Iterator<Item = (usize, &MatchExpression)> {
    let all = expressions.known().map(Vec::as_slice).unwrap_or_default();
    all.iter().enumerate().filter_map(|(index, one)| Some((index, one.known()?)))
}

/// As a spec has it; none where nothing is said.
pub fn selector(labels: &TextMap, expressions: &MatchExpressions) -> Option<Value> {
    let conditions: Vec<Value> = known(expressions).map(|(_, one)| one.spec()).collect();
    let mut selector = Spec::default();
    selector.map("matchLabels", labels);
    if !conditions.is_empty() {
        selector.set("matchExpressions", conditions);
    }
    Some(selector.done()).filter(|selector| *selector != json!({}))
}

/// Out of a selector on the server.
pub fn imported_expressions(selector: &Value) -> MatchExpressions {
    let found = selector["matchExpressions"].as_array().filter(|found| !found.is_empty());
    found.map(|found| found.iter().map(|one| Attr::Known(MatchExpression::imported(one))).collect::<Vec<_>>()).into()
}

/// What the API server would refuse of conditions. `path` is that of their list.
pub fn check(path: &Path, expressions: &MatchExpressions) -> Diagnostics {
    let refuse = |(index, one): (usize, &MatchExpression)| {
        let path = path.clone().index(index).then("values");
        Some(Diagnostics::error_at(path, "A condition without sense", one.refused()?).0)
    };
    Diagnostics(known(expressions).filter_map(refuse).flatten().collect())
}

/// The terms of a selector in a spec, as a list takes them.
pub fn terms(selector: &Value) -> Vec<String> {
    let labels = selector["matchLabels"].as_object();
    let equal = |(name, value): (&String, &Value)| format!("{name}={}", value.as_str().unwrap_or_default());
    let mut terms: Vec<String> = labels.into_iter().flatten().map(equal).collect();
    terms.extend(selector["matchExpressions"].as_array().into_iter().flatten().filter_map(term));
    terms
}

fn term(expression: &Value) -> Option<String> {
    let key = expression["key"].as_str()?;
    let values: Vec<&str> = expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match expression["operator"].as_str()? {
        "In" => Some(format!("{key} in ({})", values.join(","))),
        "NotIn" => Some(format!("{key} notin ({})", values.join(","))),
        "Exists" => Some(key.to_owned()),
        "DoesNotExist" => Some(format!("!{key}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(key: &str, operator: &str, values: &[&str]) -> Attr<MatchExpression> {
        let values = (!values.is_empty()).then(|| values.iter().map(|value| Attr::from(*value)).collect::<Vec<_>>());
        Attr::Known(MatchExpression { key: key.into(), operator: operator.into(), values: values.into() })
    }

    #[test]
    fn a_selector_is_written_as_it_is_read_and_listed_by() {
        let expressions =
            Attr::Known(vec![condition("tier", "NotIn", &["cache", "queue"]), condition("app", "Exists", &[])]);
        let labels: TextMap = Attr::Known([("team".to_owned(), Attr::from("docs"))].into());
        let written = selector(&labels, &expressions).unwrap();
        assert_eq!(
            written,
            json!({
                "matchLabels": { "team": "docs" },
                "matchExpressions": [
                    { "key": "tier", "operator": "NotIn", "values": ["cache", "queue"] },
                    { "key": "app", "operator": "Exists" },
                ],
            })
        );
        assert_eq!(imported_expressions(&written), expressions);
        assert_eq!(terms(&written), ["team=docs", "tier notin (cache,queue)", "app"]);
        assert_eq!(selector(&Attr::Null, &Attr::Null), None);
        assert_eq!(imported_expressions(&Value::Null), Attr::Null);
    }

    #[test]
    fn conditions_that_the_server_refuses_are_refused_at_their_place() {
        let all = Attr::Known(vec![
            condition("a", "In", &[]),
            condition("a", "In", &["b"]),
            condition("a", "Exists", &["b"]),
            condition("a", "DoesNotExist", &[]),
        ]);
        let found = check(&Path::attribute("match_expressions"), &all).0;
        let paths: Vec<String> = found.iter().map(|found| found.attribute.as_ref().unwrap().to_string()).collect();
        assert_eq!(paths, ["match_expressions[0].values", "match_expressions[2].values"]);
        assert_eq!(operator(&Configured::string("in"), &Path::attribute("operator")).len(), 1);
        assert!(operator(&Configured::string("In"), &Path::attribute("operator")).is_empty());
    }
}
