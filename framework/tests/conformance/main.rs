//! Every rule that binds a provider, over models of every shape, with generated configurations and states.

mod messages;
mod private;
mod stored;
mod support;
mod zoo;

use support::Hints;
use support::drive::{Reach, assert_keeps_the_rules};

fn keeps_the_rules(name: &str) {
    lives(name, Reach::Applies);
}

fn lives(name: &str, reach: Reach) {
    let animals = zoo::animals();
    let animal = animals.iter().find(|animal| animal.type_name() == name).expect("it is in the zoo");
    assert_keeps_the_rules(animal.as_ref(), &Hints::new(), reach, 300, async || {});
}

#[test]
fn primitives_and_their_collections_keep_the_rules() {
    keeps_the_rules("dr_flat");
}

#[test]
fn objects_in_all_nestings_five_deep_keep_the_rules() {
    keeps_the_rules("dr_deep");
}

#[test]
fn values_of_any_type_keep_the_rules() {
    keeps_the_rules("dr_open");
}

#[test]
fn sets_with_defaults_keep_the_rules() {
    keeps_the_rules("dr_sets");
}

#[test]
fn immutable_parts_keep_the_rules() {
    keeps_the_rules("dr_fixed");
}

#[test]
fn choices_and_write_only_values_keep_the_rules() {
    keeps_the_rules("dr_chosen");
}

#[test]
fn outputs_of_every_shape_and_identities_keep_the_rules() {
    keeps_the_rules("dr_output");
}

#[test]
fn an_identity_that_is_given_once_keeps_the_rules() {
    keeps_the_rules("dr_born");
    lives("dr_born", Reach::Stored);
}
