//! What was found out before: a thousand schedules run at a few different times.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::CronError;

/// How many answers are kept.
const KEPT: usize = 1024;

/// Answers by what was asked. Errors are found anew each time.
pub(super) struct Memo<V>(Mutex<BTreeMap<String, V>>);

impl<V: Clone> Memo<V> {
    pub(super) const fn new() -> Self {
        Memo(Mutex::new(BTreeMap::new()))
    }

    pub(super) fn get_or(&self, asked: &str, find: impl FnOnce() -> Result<V, CronError>) -> Result<V, CronError> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = known().get(asked) {
            return Ok(answer.clone());
        }
        let answer = find()?;
        let mut known = known();
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(asked.to_owned(), answer.clone());
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_once_and_an_error_each_time() {
        let memo = Memo::new();
        assert_eq!(memo.get_or("a", || Ok(1)).unwrap(), 1);
        assert_eq!(memo.get_or("a", || Ok(2)).unwrap(), 1);
        assert!(memo.get_or("b", || Err(CronError::Count { count: 0 })).is_err());
        assert_eq!(memo.get_or("b", || Ok(3)).unwrap(), 3);
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let memo = Memo::new();
        for number in 0..3 * KEPT {
            memo.get_or(&number.to_string(), || Ok(number)).unwrap();
        }
        assert!(memo.0.lock().unwrap().len() <= KEPT);
    }
}
