//! Which element of a set was which one before: they have no place that would tell.

use std::collections::{BTreeMap, VecDeque};

use tfplugin::{Nesting, Value};

use crate::field::Field;
use crate::plan::configured;

/// For each configured element, the one before that a plan for it leaves as it is (`fits`). As many as can find one do,
/// and none is given twice. What is spelled alike goes first, and before all that what is written out: planned anew, it
/// would be the same as the one that another has taken.
pub fn places(
    fields: &[Field],
    before: &[Value],
    elements: &[Value],
    fits: impl Fn(&Value, usize) -> bool,
) -> Vec<Option<usize>> {
    let indexes = Indexes::new(fields, before, elements);
    let mut pairs = Pairs { of_element: vec![None; elements.len()], of_place: vec![None; before.len()] };
    let mut order: Vec<usize> = (0..elements.len()).collect();
    order.sort_by_key(|element| std::cmp::Reverse(size(&indexes.keys[*element].0)));
    for &element in &order {
        let free = |place: &&usize| pairs.of_place[**place].is_none() && fits(&elements[element], **place);
        if let Some(place) = indexes.choices(element, Spelling::Exact).iter().find(free).copied() {
            pairs.join(element, place);
        }
    }
    let choices = |element: usize| {
        let all = indexes.choices(element, Spelling::Any).iter().copied();
        all.filter(|place| fits(&elements[element], *place)).collect::<Vec<_>>()
    };
    for element in order {
        if pairs.of_element[element].is_none() {
            pairs.make_room(element, choices);
        }
    }
    pairs.of_element
}

/// Whether a leaf with an equality of its own counts.
#[derive(Clone, Copy, PartialEq)]
enum Spelling {
    Exact,
    Any,
}

/// Elements before, by what of them a configured one decides. Looking them up is what keeps a large set from being
/// compared each with each.
struct Indexes {
    /// Which index each element is looked up in, and its keys there.
    keys: Vec<(Value, [Value; 2])>,
    /// By which leaves are decided: most elements of a set have the same ones.
    by_outline: BTreeMap<Value, [BTreeMap<Value, Vec<usize>>; 2]>,
}

impl Indexes {
    fn new(fields: &[Field], before: &[Value], elements: &[Value]) -> Self {
        let keys_of =
            |value: &Value, like: &Value| [Spelling::Exact, Spelling::Any].map(|it| decided(fields, value, like, it));
        let mut by_outline: BTreeMap<Value, [BTreeMap<Value, Vec<usize>>; 2]> = BTreeMap::new();
        let mut keys = Vec::with_capacity(elements.len());
        for element in elements {
            let outline = outline(fields, element);
            by_outline.entry(outline.clone()).or_insert_with(|| {
                let mut indexes = [BTreeMap::new(), BTreeMap::new()];
                for (place, value) in before.iter().enumerate() {
                    for (index, key) in indexes.iter_mut().zip(keys_of(value, element)) {
                        index.entry(key).or_insert_with(Vec::new).push(place);
                    }
                }
                indexes
            });
            keys.push((outline, keys_of(element, element)));
        }
        Indexes { keys, by_outline }
    }

    fn choices(&self, element: usize, spelling: Spelling) -> &[usize] {
        let (outline, [exact, any]) = &self.keys[element];
        let [by_exact, by_any] = &self.by_outline[outline];
        let found = if spelling == Spelling::Exact { by_exact.get(exact) } else { by_any.get(any) };
        found.map_or(&[], Vec::as_slice)
    }
}

/// Whether a configuration that gives this for a field decides what it will be. What a set holds is left to the closer
/// look.
fn decides(field: &Field, given: &Value, spelling: Spelling) -> bool {
    let open = field.write_only || (field.computed && given.is_null());
    let alike = field.equality.is_some() && spelling == Spelling::Any;
    !open && !alike && !matches!(field.nested(), Some((Nesting::Set, _)))
}

/// What of an element is decided by a configuration like this one.
fn decided(fields: &[Field], value: &Value, like: &Value, spelling: Spelling) -> Value {
    match (value, like) {
        (Value::Object(object), Value::Object(like)) => {
            let each = |field: &Field| {
                let (inner, given) = (configured(field, object), configured(field, like));
                decides(field, given, spelling).then(|| match field.nested() {
                    Some((_, fields)) => (field.name.clone(), decided(fields, inner, given, spelling)),
                    None => (field.name.clone(), inner.clone()),
                })
            };
            Value::Object(fields.iter().filter_map(each).collect())
        }
        (Value::List(values), Value::List(like)) if values.len() == like.len() => {
            let pairs = values.iter().zip(like);
            Value::List(pairs.map(|(value, like)| decided(fields, value, like, spelling)).collect())
        }
        (Value::Map(values), Value::Map(like)) if values.keys().eq(like.keys()) => {
            let pairs = values.iter().zip(like.values());
            Value::Map(
                pairs.map(|((key, value), like)| (key.clone(), decided(fields, value, like, spelling))).collect(),
            )
        }
        _ => value.clone(),
    }
}

/// The places that [`decided`] looks at, without what is there.
fn outline(fields: &[Field], like: &Value) -> Value {
    match like {
        Value::Object(like) => {
            let each = |field: &Field| {
                let given = configured(field, like);
                let inner = field.nested().map_or(Value::Null, |(_, fields)| outline(fields, given));
                decides(field, given, Spelling::Exact).then(|| (field.name.clone(), inner))
            };
            Value::Object(fields.iter().filter_map(each).collect())
        }
        Value::List(values) => Value::List(values.iter().map(|value| outline(fields, value)).collect()),
        Value::Map(values) => {
            Value::Map(values.iter().map(|(key, value)| (key.clone(), outline(fields, value))).collect())
        }
        _ => Value::Null,
    }
}

fn size(outline: &Value) -> usize {
    1 + match outline {
        Value::List(values) => values.iter().map(size).sum(),
        Value::Map(values) | Value::Object(values) => values.values().map(size).sum(),
        _ => 0,
    }
}

/// Elements and their places among those before.
struct Pairs {
    of_element: Vec<Option<usize>>,
    of_place: Vec<Option<usize>>,
}

impl Pairs {
    /// Gives an element a place, and says which one it had.
    fn join(&mut self, element: usize, place: usize) -> Option<usize> {
        self.of_place[place] = Some(element);
        self.of_element[element].replace(place)
    }

    /// Finds a place for one more, which others may have to change theirs for: the shortest chain of such changes that
    /// ends at a place that is free. None of them loses its place by it.
    fn make_room(&mut self, element: usize, choices: impl Fn(usize) -> Vec<usize>) {
        let mut wanted_by = BTreeMap::new();
        let mut waiting = VecDeque::from([element]);
        while let Some(element) = waiting.pop_front() {
            for place in choices(element) {
                if wanted_by.contains_key(&place) {
                    continue;
                }
                wanted_by.insert(place, element);
                match self.of_place[place] {
                    Some(other) => waiting.push_back(other),
                    None => return self.change(place, &wanted_by),
                }
            }
        }
    }

    fn change(&mut self, free: usize, wanted_by: &BTreeMap<usize, usize>) {
        let mut free = Some(free);
        while let Some(place) = free {
            free = self.join(wanted_by[&place], place);
        }
    }
}
