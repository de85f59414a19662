//! The way to what a drill restores: from the drill's own folder down, name by name, through no link.
//!
//! What a drill restores holds the links of production as they are: a path that leads through one of them is production.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, OFlags, fstat, mkdirat, openat, readlinkat};
use rustix::io::Errno;

use super::error::EngineError;
use crate::ledger::PathLedger;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens the folder that `to` goes into, below the folder of the drill; `None` where it is not there. With `make` it is made,
/// as far as it is missing.
pub fn parent(drill: &Path, to: &Path, make: bool) -> Result<Option<OwnedFd>, EngineError> {
    let outside = || refusal(to, "it lies outside the drill's folder");
    let below = to.strip_prefix(drill).map_err(|_| outside())?;
    let Some(names) = below.parent() else {
        // `/` comes back as the drill's folder itself.
        let above = drill.parent().ok_or_else(outside)?;
        if make {
            std::fs::create_dir_all(above).map_err(|error| no_place(drill, above, &error))?;
        }
        own(drill)?;
        return match openat(CWD, above, FOLDER - OFlags::NOFOLLOW, Mode::empty()) {
            Ok(opened) => Ok(Some(opened)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(refusal(above, std::io::Error::from(error))),
        };
    };
    if make {
        std::fs::create_dir_all(drill).map_err(|error| no_place(drill, drill, &error))?;
    }
    let Some(mut folder) = own(drill)? else { return Ok(None) };
    let mut path = drill.to_owned();
    for part in names.components() {
        let Component::Normal(name) = part else { return Err(outside()) };
        path.push(name);
        if make {
            match mkdirat(&folder, name, Mode::RWXU | Mode::RWXG | Mode::RWXO) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(refusal(&path, std::io::Error::from(error))),
            }
        }
        let Some(next) = enter(&folder, name.as_ref(), &path)? else { return Ok(None) };
        folder = next;
    }
    if let Some(ledger) = PathLedger::new(to)
        && let Some(name) = ledger.folder().file_name()
    {
        enter(&folder, name.as_ref(), ledger.folder())?;
    }
    Ok(Some(folder))
}

/// Opens the drill's folder. Whoever else made it could have put links into it.
fn own(drill: &Path) -> Result<Option<OwnedFd>, EngineError> {
    if let Ok(target) = std::fs::read_link(drill) {
        let target = drill.parent().unwrap_or(drill).join(target);
        let reason = format!(
            "it is a symbolic link, and a drill goes through none: name the folder itself, with `path = \"{}\"` under `drill` in the \
             provider block, or remove the link",
            target.display()
        );
        return Err(refusal(drill, reason));
    }
    let Some(folder) = enter(CWD, drill, drill)? else { return Ok(None) };
    let owner = fstat(&folder).map_err(|error| refusal(drill, std::io::Error::from(error)))?.st_uid;
    let own = rustix::process::geteuid().as_raw();
    if owner == 0 || owner == own {
        return Ok(Some(folder));
    }
    let way_out = if own == 0 {
        format!(
            "Remove it, and it is made anew; or run this without `sudo`, as that user; or give it to root: `chown root {}`",
            drill.display()
        )
    } else {
        "Name another folder with `path` under `drill` in the provider block".to_owned()
    };
    let reason = format!(
        "it belongs to user {owner} and this runs as user {own}, whom links in it could lead out of it. {way_out}"
    );
    Err(refusal(drill, reason))
}

/// The folder can't be made. What stands in the way is often far above it.
fn no_place(drill: &Path, wanted: &Path, error: &std::io::Error) -> EngineError {
    let there = wanted.ancestors().skip(1).find(|above| above.symlink_metadata().is_ok());
    let there = there.map(|above| format!(" in {}", above.display())).unwrap_or_default();
    let reason = format!(
        "it is not there and can't be made{there}: {error}. Make it, or name another folder with `path` under `drill` in the provider block"
    );
    refusal(drill, reason)
}

/// Opens a folder in a folder, and follows no link. `path` is the whole path.
fn enter(folder: impl AsFd, name: &Path, path: &Path) -> Result<Option<OwnedFd>, EngineError> {
    match openat(folder.as_fd(), name, FOLDER, Mode::empty()) {
        Ok(opened) => Ok(Some(opened)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(match readlinkat(folder.as_fd(), name, Vec::new()) {
            Ok(target) => {
                let target = target.to_string_lossy().into_owned();
                refusal(
                    path,
                    format!(
                        "it is a symbolic link to {target}, and a drill leaves its folder by no link. Restore what lies there by a \
                         drill of its own, with another `drill.path`, or remove the link"
                    ),
                )
            }
            Err(_) => refusal(path, std::io::Error::from(error)),
        }),
    }
}

fn refusal(path: &Path, reason: impl ToString) -> EngineError {
    EngineError::Destination { path: path.display().to_string(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn reason(result: Result<Option<OwnedFd>, EngineError>) -> String {
        result.map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_missing_is_made_below_the_drills_folder_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let drill = folder.path().join("drill");
        let to = drill.join("srv/apps/docs");
        assert!(parent(&drill, &to, false).unwrap().is_none());
        assert!(!drill.exists());
        fs::create_dir(&drill).unwrap();
        assert!(parent(&drill, &to, false).unwrap().is_none());
        assert_eq!(fs::read_dir(&drill).unwrap().count(), 0, "it was only looked for");
        assert!(parent(&drill, &to, true).unwrap().is_some());
        assert!(drill.join("srv/apps").is_dir() && !to.exists());
        assert!(reason(parent(&drill, &folder.path().join("elsewhere/docs"), true)).contains("outside"));
        assert!(reason(parent(&drill, &drill.join("../srv/docs"), true)).contains("outside"));
        assert!(!folder.path().join("srv").exists());
    }

    #[test]
    fn the_root_comes_back_as_the_drills_folder_itself() {
        let folder = tempfile::tempdir().unwrap();
        let drill = folder.path().join("missing/drill");
        assert!(parent(&drill, &drill.join(""), false).unwrap().is_none());
        assert!(parent(&drill, &drill.join(""), true).unwrap().is_some(), "what is above it is made");
        assert!(!drill.exists());
    }

    #[test]
    fn a_drills_folder_that_can_not_be_made_is_named_with_what_stands_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "no folder").unwrap();
        let drill = file.join("drills/drill");
        for to in ["srv/docs", ""] {
            let said = reason(parent(&drill, &drill.join(to), true));
            assert!(said.starts_with(&format!("{} can't be written: it is not there", drill.display())), "{said}");
            assert!(
                said.contains(&format!("in {}:", file.display())) && said.contains("`path` under `drill`"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_link_on_the_way_is_named_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (drill, production) = (folder.path().join("drill"), folder.path().join("production"));
        fs::create_dir_all(drill.join("srv/apps")).unwrap();
        fs::create_dir_all(&production).unwrap();
        symlink(&production, drill.join("srv/apps/data")).unwrap();
        for make in [false, true] {
            let said = reason(parent(&drill, &drill.join("srv/apps/data/docs/letters"), make));
            assert!(said.contains("srv/apps/data can't be written") && said.contains("link to"), "{said}");
            assert!(said.contains(&*production.to_string_lossy()), "{said}");
        }
        assert_eq!(fs::read_dir(&production).unwrap().count(), 0);
        // The link itself is nothing that is gone through.
        assert!(parent(&drill, &drill.join("srv/apps/data"), true).unwrap().is_some());
    }

    #[test]
    fn neither_the_drills_folder_nor_a_ledger_may_be_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (drill, other) = (folder.path().join("drill"), folder.path().join("other"));
        fs::create_dir(&other).unwrap();
        symlink("other", &drill).unwrap();
        for (to, make) in [("srv/docs", true), ("srv/docs", false), ("", true)] {
            let said = reason(parent(&drill, &drill.join(to), make));
            let way_out = format!("name the folder itself, with `path = \"{}\"`", other.display());
            assert!(said.contains("symbolic link") && said.contains(&way_out), "{said}");
        }
        fs::remove_file(&drill).unwrap();
        fs::create_dir_all(drill.join("srv")).unwrap();
        symlink(&other, drill.join("srv/.docs.dr")).unwrap();
        assert!(reason(parent(&drill, &drill.join("srv/docs"), true)).contains(".docs.dr"));
        assert_eq!(fs::read_dir(&other).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_of_somebody_else_is_no_drills() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root gives folders away");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let drill = folder.path().join("drill");
        fs::create_dir(&drill).unwrap();
        std::os::unix::fs::chown(&drill, Some(65534), None).unwrap();
        let said = reason(parent(&drill, &drill.join("srv/docs"), true));
        assert!(said.contains("belongs to user 65534") && said.contains("without `sudo`"), "{said}");
    }
}
