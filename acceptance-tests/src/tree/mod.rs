//! Folders full of what people have: made from a seed, described, and compared.

mod make;
mod manifest;

pub use make::{Made, Recipe, make};
pub use manifest::{Entry, Manifest};

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn small(folder: &std::path::Path) -> Made {
        make(folder, &Recipe::small(1)).unwrap()
    }

    #[test]
    fn a_seed_always_makes_the_same_tree() {
        let scratch = tempfile::tempdir().unwrap();
        let (one, two) = (scratch.path().join("one"), scratch.path().join("two"));
        let made = small(&one);
        small(&two);
        let (one, two) = (Manifest::of(&one).unwrap(), Manifest::of(&two).unwrap());
        assert_eq!(one.differences(&two), Vec::<String>::new());
        assert!(made.files >= 50, "{made:?}");
        assert_eq!(one.bytes(), made.bytes);
    }

    #[test]
    fn every_kind_of_difference_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("data");
        small(&folder);
        let before = Manifest::of(&folder).unwrap();
        let find = |name: &str| {
            let path = before.entries.keys().find(|path| path.to_string_lossy().ends_with(name)).unwrap();
            folder.join(path)
        };
        fs::remove_file(find("README.md")).unwrap();
        fs::write(find("deploy.sh"), "changed").unwrap();
        fs::set_permissions(find("private.key"), fs::Permissions::from_mode(0o644)).unwrap();
        let copy = find("newest.jpg");
        let content = fs::read(&copy).unwrap();
        fs::remove_file(&copy).unwrap();
        fs::write(&copy, content).unwrap();
        fs::write(folder.join("more"), "").unwrap();
        let differences = before.differences(&Manifest::of(&folder).unwrap()).join("\n");
        for part in
            ["README.md: missing", "deploy.sh: content", "private.key: mode", "newest.jpg: hard link", "more: not"]
        {
            assert!(differences.contains(part), "{part} is not in:\n{differences}");
        }
    }
}
