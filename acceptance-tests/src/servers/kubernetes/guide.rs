//! The rights that a guide lists, as grants for a user: what a page says is enough has to be enough.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::users::Grant;
use crate::parts;

/// The grants in the YAML blocks of a guide, as many as `count`, so that a block that is not read is seen. What the comment over
/// it calls a Role is granted in the namespace `home`.
pub fn rights_of_guide(page: &str, count: usize, home: &str) -> Result<Vec<Grant>> {
    let grant = |(title, rules): (String, Value)| match title.starts_with("Role") {
        true => Grant::within(home, rules),
        false => Grant::everywhere(rules),
    };
    Ok(rules_of_guide(page, count)?.into_iter().map(grant).collect())
}

/// The rules, each list under the comment that stands over it.
fn rules_of_guide(page: &str, count: usize) -> Result<Vec<(String, Value)>> {
    let guide = std::fs::read_to_string(parts::checkout().join("docs/guides").join(page))?;
    let blocks = guide.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut rules: Vec<(String, Value)> = Vec::new();
    for line in blocks.flat_map(str::lines) {
        let list = |line: &str| -> Vec<String> {
            let inner = line.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(inner, _)| inner);
            let items = inner.unwrap_or_default().split(',').map(|item| item.trim().trim_matches('"').to_owned());
            items.collect()
        };
        if let Some(title) = line.strip_prefix("# ") {
            rules.push((title.to_owned(), json!([])));
        }
        let Some((_, current)) = rules.last_mut() else { continue };
        let current = current.as_array_mut().context("a list of rules")?;
        if line.starts_with("- apiGroups:") {
            current.push(json!({ "apiGroups": list(line) }));
        } else if let (Some(rule), Some((field, _))) = (current.last_mut(), line.trim().split_once(':')) {
            rule[field] = json!(list(line));
        }
    }
    ensure!(rules.len() == count, "the guide has other blocks than before: {rules:?}");
    Ok(rules)
}
