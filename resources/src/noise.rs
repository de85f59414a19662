//! For tests: what a parser may be given that nobody meant for it.

use std::borrow::Cow;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

/// What happens to what a parser takes: a byte changes, one comes in, or the rest is missing.
#[derive(Debug, Clone)]
enum Damage {
    Changed(Index, u8),
    Inserted(Index, u8),
    Cut(Index),
}

impl Damage {
    fn done_to(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Damage::Changed(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Damage::Inserted(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
            Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    // Half of the bytes mean something somewhere.
    let marks = proptest::sample::select(&b"0123456789-+.:/*,\"'{}[]()= \t\n\0"[..]);
    let byte = || prop_oneof![any::<u8>(), marks.clone()];
    prop_oneof![
        4 => (any::<Index>(), byte()).prop_map(|(at, byte)| Damage::Changed(at, byte)),
        4 => (any::<Index>(), byte()).prop_map(|(at, byte)| Damage::Inserted(at, byte)),
        1 => any::<Index>().prop_map(Damage::Cut),
    ]
}

fn bytes(examples: &[&[u8]]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let examples: Vec<Vec<u8>> = examples.iter().map(|example| example.to_vec()).collect();
    let damaged = (proptest::sample::select(examples), proptest::collection::vec(damage(), 0..4));
    prop_oneof![
        1 => proptest::collection::vec(any::<u8>(), 0..80),
        4 => damaged.prop_map(|(mut bytes, damages)| {
            damages.iter().for_each(|damage| damage.done_to(&mut bytes));
            bytes
        }),
    ]
}

/// Gives a parser noise, and damaged copies of what it takes: it answers, whatever that is.
pub fn survives<T>(examples: &[&[u8]], parse: impl Fn(&[u8]) -> T) {
    let config = ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&bytes(examples), |bytes| {
        parse(&bytes);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// The same for a parser of text.
pub fn survives_text<T>(examples: &[&str], parse: impl Fn(&str) -> T) {
    let examples: Vec<&[u8]> = examples.iter().map(|example| example.as_bytes()).collect();
    survives(&examples, |bytes| {
        let text: Cow<'_, str> = String::from_utf8_lossy(bytes);
        parse(&text)
    });
}
