//! What is left out of a backup.

use super::super::error::EngineError;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The excludes of a job, in the syntax of .gitignore, anchored at each of its paths.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    roots: Vec<(PathBuf, Gitignore)>,
    hard: Vec<PathBuf>,
}

impl Filter {
    /// Patterns below each of `roots`, and whole paths that are left out without a pattern.
    pub fn new(roots: &[PathBuf], patterns: &[String], hard: &[PathBuf]) -> Result<Self, EngineError> {
        let roots = roots.iter().map(|root| Ok((root.clone(), patterns_below(root, patterns)?)));
        Ok(Self { roots: roots.collect::<Result<_, EngineError>>()?, hard: hard.to_vec() })
    }

    /// Whether an entry is left out; what lies above it is known to be in.
    pub fn leaves_out(&self, path: &Path, is_dir: bool) -> bool {
        self.hard.iter().any(|hard| hard == path)
            || is_dir && is_ledger(path)
            || is_unfinished(path)
            || self.below(path).is_some_and(|(root, set)| path != root && set.matched(path, is_dir).is_ignore())
    }

    /// Whether a path is left out, itself or by what lies above it.
    pub fn leaves_out_below(&self, path: &Path) -> bool {
        let Some((root, _)) = self.below(path) else { return false };
        path.ancestors().take_while(|ancestor| ancestor != root).any(|ancestor| self.leaves_out(ancestor, true))
    }

    fn below(&self, path: &Path) -> Option<&(PathBuf, Gitignore)> {
        self.roots.iter().find(|(root, _)| path.starts_with(root))
    }
}

/// A set of patterns in the syntax of .gitignore, anchored at `root`.
pub(in super::super) fn patterns_below(root: &Path, patterns: &[String]) -> Result<Gitignore, EngineError> {
    let mut builder = GitignoreBuilder::new(root);
    let bad = |pattern: &str, error: ignore::Error| EngineError::Pattern {
        pattern: pattern.to_owned(),
        reason: error.to_string(),
    };
    for pattern in patterns {
        builder.add_line(None, pattern).map_err(|error| bad(pattern, error))?;
    }
    builder.build().map_err(|error| bad(&patterns.join(" "), error))
}

/// What is wrong with a pattern, if anything is.
pub(in super::super) fn pattern_problem(pattern: &str) -> Option<String> {
    if is_unclosed(pattern) {
        return Some("its `[` has no `]`; write `\\\\[` for the letter".to_owned());
    }
    match patterns_below(Path::new("/"), &[pattern.to_owned()]) {
        Err(EngineError::Pattern { reason, .. }) => Some(reason),
        _ => None,
    }
}

/// Whether a class of letters has no end: git matches nothing by such a pattern, and others take the bracket for a letter.
fn is_unclosed(pattern: &str) -> bool {
    let mut letters = pattern.trim_start_matches('!').chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => drop(letters.next()),
            '[' => {
                letters.next_if(|letter| matches!(letter, '!' | '^'));
                // A bracket that comes first is one of the letters.
                letters.next_if_eq(&']');
                if !letters.any(|letter| letter == ']') {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

/// Whether it is a file that a restore had not finished when it was killed.
fn is_unfinished(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_bytes().starts_with(b".dr-part-"))
}

/// Whether a name is that of the folder in which runs on a path beside it are recorded, `.<name>.dr`.
pub(in super::super) fn is_ledger_name(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.len() > 4 && name.starts_with(b".") && name.ends_with(b".dr")
}

/// A user's own folder may have such a name: only one that holds what a ledger holds is ours.
fn is_ledger(path: &Path) -> bool {
    path.file_name().is_some_and(is_ledger_name)
        && ["runs", "lock"].iter().any(|name| path.join(name).symlink_metadata().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(patterns: &[&str]) -> Filter {
        let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        Filter::new(&["/srv/a".into(), "/srv/b".into()], &patterns, &["/srv/a/hard".into()]).unwrap()
    }

    #[test]
    fn a_pattern_with_a_slash_is_anchored_at_each_path() {
        let filter = filter(&["/cache/"]);
        assert!(filter.leaves_out(Path::new("/srv/a/cache"), true));
        assert!(filter.leaves_out(Path::new("/srv/b/cache"), true));
        assert!(!filter.leaves_out(Path::new("/srv/a/cache"), false));
        assert!(!filter.leaves_out(Path::new("/srv/a/deep/cache"), true));
    }

    #[test]
    fn a_later_pattern_takes_an_exclude_back() {
        let filter = filter(&["*.tmp", "!keep.tmp"]);
        assert!(filter.leaves_out(Path::new("/srv/a/x/y.tmp"), false));
        assert!(!filter.leaves_out(Path::new("/srv/a/x/keep.tmp"), false));
    }

    #[test]
    fn a_pattern_that_can_not_be_read_is_a_problem_and_every_other_is_none() {
        for bad in ["[z-a]", "[a", "x/[!b", "[]", "a\\\\[[", "{a"] {
            assert!(pattern_problem(bad).is_some(), "{bad}");
        }
        for good in ["*.tmp", "!keep", "[a-z]", "[]a]", "[!]a]", "\\[a", "**/cache/", "#", "", "a]"] {
            assert_eq!(pattern_problem(good), None, "{good}");
        }
    }

    #[test]
    fn whole_paths_and_what_lies_below_an_exclude_are_left_out() {
        let filter = filter(&["/backup"]);
        assert!(filter.leaves_out(Path::new("/srv/a/hard"), true));
        assert!(filter.leaves_out_below(Path::new("/srv/a/backup/repo")));
        assert!(!filter.leaves_out_below(Path::new("/srv/a/other/repo")));
    }

    #[test]
    fn only_a_folder_that_holds_a_ledger_is_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join(".docs.dr");
        std::fs::create_dir(&ledger).unwrap();
        assert!(!is_ledger(&ledger));
        std::fs::create_dir(ledger.join("runs")).unwrap();
        assert!(is_ledger(&ledger));
        assert!(!is_ledger_name(OsStr::new(".dr")) && !is_ledger_name(OsStr::new("docs.dr")));
    }
}
