//! What opens a repository, as k8up's objects name it: four keys in one Secret or in several.

use std::fmt;

use serde_json::{Value, json};

use super::backend::{ACCESS_KEY_ID_KEY, CA_KEY, PASSWORD_KEY, SECRET_ACCESS_KEY_KEY};
use crate::engines::kubernetes::repository_secret::secret_of;
use crate::reference::Reference;

/// A key of a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The Secret's name.
    pub secret: String,
    /// The key in it.
    pub key: String,
}

impl Entry {
    /// A key of a Secret.
    pub fn new(secret: &str, key: &str) -> Self {
        Entry { secret: secret.to_owned(), key: key.to_owned() }
    }

    /// As a `SecretKeySelector` of Kubernetes'.
    pub fn selector(&self) -> Value {
        json!({ "name": self.secret, "key": self.key })
    }

    /// Out of `secret:key`.
    fn parse(text: &str) -> Option<Self> {
        let (secret, key) = text.split_once(':')?;
        (!secret.is_empty() && !key.is_empty()).then(|| Entry::new(secret, key))
    }
}

/// `secret:key`: neither has a colon in its name.
impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.secret, self.key)
    }
}

/// What opens a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opener {
    /// The password.
    pub password: Entry,
    /// The id of the bucket's key.
    pub id: Entry,
    /// The secret of the bucket's key.
    pub secret: Entry,
    /// The store's certificates, where the connection has some of its own.
    pub ca: Entry,
}

impl Opener {
    /// One Secret, with the names that the provider itself gives its keys.
    pub fn in_one(secret: &str) -> Self {
        let entry = |key: &str| Entry::new(secret, key);
        Opener {
            password: entry(PASSWORD_KEY),
            id: entry(ACCESS_KEY_ID_KEY),
            secret: entry(SECRET_ACCESS_KEY_KEY),
            ca: entry(CA_KEY),
        }
    }

    /// What a reference to a target means.
    pub fn of(target: &Reference) -> Option<Self> {
        Opener::parse(&secret_of(target)?)
    }

    /// Out of what stands in a scope after the namespace: the name of a Secret, or all four keys.
    pub fn parse(text: &str) -> Option<Self> {
        if !text.contains(':') {
            return Some(Opener::in_one(text));
        }
        let mut entries = text.split(',').map(Entry::parse);
        let mut next = || entries.next().flatten();
        let opener = Opener { password: next()?, id: next()?, secret: next()?, ca: next()? };
        entries.next().is_none().then_some(opener)
    }

    /// All of them.
    pub fn entries(&self) -> [&Entry; 4] {
        [&self.password, &self.id, &self.secret, &self.ca]
    }

    /// Those that have to be there, with certificates or without.
    pub fn needed(&self, with_ca: bool) -> impl Iterator<Item = &Entry> {
        self.entries().into_iter().take(if with_ca { 4 } else { 3 })
    }
}

/// What stands in a scope after the namespace.
impl fmt::Display for Opener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Opener { password, id, secret, ca } = self;
        match *self == Opener::in_one(&password.secret) {
            true => formatter.write_str(&password.secret),
            false => write!(formatter, "{password},{id},{secret},{ca}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_scope_says_is_read_as_it_was_written() {
        let one = Opener::in_one("dr-docs");
        assert_eq!((one.to_string().as_str(), Opener::parse("dr-docs")), ("dr-docs", Some(one.clone())));
        let store = |key: &str| Entry::new("objectstore", key);
        let two = Opener { id: store("username"), secret: store("password"), ..one };
        let text = "dr-docs:password,objectstore:username,objectstore:password,dr-docs:ca.pem";
        assert_eq!((two.to_string().as_str(), Opener::parse(text)), (text, Some(two)));
        for wrong in ["a:b", "a:b,c:d,e:f", "a:b,c:d,e:f,g:h,i:j", "a:b,c:d,e:f,g", "a:b,c:d,e:f,:h", "a:"] {
            assert_eq!(Opener::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn no_scope_makes_its_reading_panic() {
        crate::noise::survives_text(&["a:b,c:d,e:f,g:h", "dr-docs"], |text| {
            if let Some(opener) = Opener::parse(text) {
                assert_eq!(Opener::parse(&opener.to_string()), Some(opener));
            }
        });
    }
}
