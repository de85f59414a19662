//! Parents before what they would put back.

use super::model::Named;
use super::parents::parents;
use crate::connections::kubernetes::DynamicObject;

/// Sorts what was found so that each comes after its parents; else the order stays.
pub(super) fn parents_first(found: Vec<(Named, DynamicObject)>) -> Vec<(Named, DynamicObject)> {
    let above: Vec<Vec<usize>> = found.iter().map(|(named, object)| listed_parents(named, object, &found)).collect();
    let mut order = Vec::new();
    let mut seen = vec![false; found.len()];
    for place in 0..found.len() {
        visit(place, &above, &mut seen, &mut order);
    }
    let mut found: Vec<Option<(Named, DynamicObject)>> = found.into_iter().map(Some).collect();
    let mut sorted: Vec<(Named, DynamicObject)> = order.into_iter().filter_map(|place| found[place].take()).collect();
    sorted.sort_by_key(|(named, _)| named.kind.manner.rank());
    sorted
}

fn listed_parents(named: &Named, object: &DynamicObject, found: &[(Named, DynamicObject)]) -> Vec<usize> {
    let parents = parents(&named.kind.kind, object);
    let place = |parent: &super::parents::Parent| {
        found.iter().position(|(other, _)| other.is(&parent.kind, &parent.namespace, &parent.name))
    };
    parents.iter().filter_map(place).collect()
}

/// What was seen is not visited again, so that a circle ends.
fn visit(place: usize, above: &[Vec<usize>], seen: &mut [bool], order: &mut Vec<usize>) {
    if std::mem::replace(&mut seen[place], true) {
        return;
    }
    for parent in &above[place] {
        visit(*parent, above, seen, order);
    }
    order.push(place);
}
