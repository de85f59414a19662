//! Marks on the objects that restores hold down. Restores of different namespaces keep their records in different places, and
//! meet only at what they both hold: the last one that lets go brings it back, as it was before the first.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::connections::kubernetes::DynamicObject;

/// How the annotation of a holder begins.
const PREFIX: &str = "dr/held-by-";

/// A field that is held; null is a field that is not there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Where it is: `["spec", "suspend"]`.
    pub path: Vec<String>,
    /// What it was.
    pub was: Value,
    /// What it is held at.
    pub held: Value,
}

/// What a holder wrote down on the object.
#[derive(Serialize, Deserialize)]
struct Mark {
    /// The object's own: on one that was made out of a backup the mark of another one says nothing.
    uid: String,
    fields: Vec<Field>,
}

/// The name of a holder: all runs of one target are one, and take over each other's debts.
pub fn holder(engine: &str, target: &str) -> String {
    let mut name = hex::encode(Sha256::digest(format!("{engine} {target}")));
    name.truncate(8);
    name
}

/// The annotation of a holder.
pub fn annotation(holder: &str) -> String {
    format!("{PREFIX}{holder}")
}

/// What a holder writes down.
pub fn mark(object: &DynamicObject, fields: &[Field]) -> String {
    let uid = object.metadata.uid.clone().unwrap_or_default();
    serde_json::to_string(&Mark { uid, fields: fields.to_vec() }).unwrap_or_default()
}

/// The annotations of all that hold the object.
pub fn marks(object: &DynamicObject) -> Vec<&str> {
    read(object).map(|(name, _)| name).collect()
}

/// The annotations of all that hold one of these fields of the object.
pub fn marks_on<'a>(object: &'a DynamicObject, fields: &[Field]) -> Vec<&'a str> {
    let on = |mark: &Mark| mark.fields.iter().any(|held| fields.iter().any(|field| field.path == held.path));
    read(object).filter(|(_, mark)| on(mark)).map(|(name, _)| name).collect()
}

/// What a field was before the first of those who hold the object changed it.
pub fn was(object: &DynamicObject, path: &[String]) -> Option<Value> {
    read(object).find_map(|(_, mark)| mark.fields.into_iter().find(|field| field.path == path).map(|field| field.was))
}

/// What a field was last held at.
pub fn held(object: &DynamicObject, path: &[String]) -> Option<Value> {
    read(object).find_map(|(_, mark)| mark.fields.into_iter().find(|field| field.path == path).map(|field| field.held))
}

fn read(object: &DynamicObject) -> impl Iterator<Item = (&str, Mark)> {
    let annotations = object.metadata.annotations.iter().flatten();
    annotations.filter(|(name, _)| name.starts_with(PREFIX)).filter_map(|(name, text)| {
        let mark: Mark = serde_json::from_str(text).ok()?;
        (Some(mark.uid.as_str()) == object.metadata.uid.as_deref()).then_some((name.as_str(), mark))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mark_that_came_out_of_a_backup_holds_nothing() {
        let path = vec!["spec".to_owned(), "replicas".to_owned()];
        let field = Field { path: path.clone(), was: json!(3), held: json!(0) };
        let object = |uid: &str, annotations: Value| -> DynamicObject {
            serde_json::from_value(json!({ "metadata": { "name": "web", "uid": uid, "annotations": annotations } }))
                .unwrap()
        };
        let annotations = json!({ annotation("a"): mark(&object("1", json!({})), &[field]), "dr/held-by-b": "torn" });
        let held = object("1", annotations.clone());
        assert_eq!((marks(&held), was(&held, &path)), (vec!["dr/held-by-a"], Some(json!(3))));
        let restored = object("2", annotations);
        assert_eq!((marks(&restored), was(&restored, &path)), (Vec::new(), None));
    }
}
