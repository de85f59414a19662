//! The one redactor on every way out: diagnostics, logs, panics.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// What stands where a secret stood.
pub const MASK: &str = "(sensitive)";

/// Shorter secrets are not looked for: masking every `a` would make messages unreadable and give the secret away.
const SHORTEST: usize = 4;

/// Knows the secrets of this process, and keeps them out of text. Clones share what they know.
#[derive(Clone, Default)]
pub struct Redactor(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    /// The secrets as they were learnt: every message brings the same ones again.
    secrets: HashSet<String>,
    /// How they may look.
    forms: HashSet<String>,
}

impl Redactor {
    /// Remembers a secret: the whole text, each of its lines, and how it looks inside JSON, XML, URLs and base64.
    pub fn learn(&self, secret: &str) {
        if self.0.read().unwrap_or_else(PoisonError::into_inner).secrets.contains(secret) {
            return;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.forms.extend(spellings(secret).into_iter().filter(|form| form.len() >= SHORTEST));
        known.secrets.insert(secret.to_owned());
    }

    /// The text without secrets, without user names and passwords in URLs, signatures and authorization headers.
    pub fn redact(&self, text: &str) -> String {
        let mut clean = self.without_known(text);
        for marker in ["X-Amz-Signature=", "X-Amz-Credential=", "X-Amz-Security-Token=", "Signature="] {
            clean = mask_after(&clean, marker, |letter| letter == '&' || letter == '"' || letter.is_whitespace());
        }
        for marker in ["Authorization: ", "authorization: ", "\"authorization\": \"", "\"authorization\":\""] {
            clean = mask_after(&clean, marker, |letter| matches!(letter, '\n' | '\r' | '"'));
        }
        // What an S3 server says it signed, down to the end of its answer.
        clean = mask_after(&clean, "StringToSign", |_| false);
        mask_user_info(&clean)
    }

    /// One mask for each stretch that secrets cover: of two that overlap, neither leaves its rest behind.
    fn without_known(&self, text: &str) -> String {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut covered: Vec<_> = known.forms.iter().flat_map(|form| places(text, form)).collect();
        covered.sort_unstable();
        let mut clean = String::with_capacity(text.len());
        let (mut copied, mut masked) = (0, 0);
        for (start, end) in covered {
            if start > masked || masked == 0 {
                clean.push_str(&text[copied..start]);
                clean.push_str(MASK);
            }
            masked = masked.max(end);
            copied = masked;
        }
        clean.push_str(&text[copied..]);
        clean
    }
}

/// Where a form stands, also where it overlaps itself.
fn places<'a>(text: &'a str, form: &'a str) -> impl Iterator<Item = (usize, usize)> + 'a {
    let step = form.chars().next().map_or(1, char::len_utf8);
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + text.get(from..)?.find(form)?;
        from = start + step;
        Some((start, start + form.len()))
    })
}

fn spellings(secret: &str) -> Vec<String> {
    let lines = secret.lines().map(str::trim).filter(|line| line.len() >= 8);
    let mut forms: Vec<String> = [secret, secret.trim()].into_iter().chain(lines).flat_map(quoted).collect();
    for text in [secret, secret.trim()] {
        forms.extend(in_base64(text.as_bytes()));
    }
    forms
}

/// How a text looks as it is, in JSON, in Rust's and Go's messages, in XML and in URLs.
fn quoted(text: &str) -> Vec<String> {
    let json = serde_json::to_string(text).unwrap_or_default();
    let json = unquoted(&json).unwrap_or_default();
    // Go writes these so that JSON may stand in HTML (`encoding/json`).
    let in_html = replaced(&json, &[("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e")]);
    // Go's `encoding/xml` has numbers for quotes, others have names.
    let brackets = replaced(text, &[("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")]);
    let by_number = replaced(&brackets, &[("\"", "&#34;"), ("'", "&#39;")]);
    let by_name = replaced(&brackets, &[("\"", "&quot;"), ("'", "&apos;")]);
    let mut forms = vec![text.to_owned(), json, in_html, by_number, by_name, brackets];
    forms.extend(unquoted(&format!("{text:?}")));
    forms.push(text.escape_debug().to_string());
    for encoded in
        [percent_encoded(text, |byte| format!("%{byte:02X}")), percent_encoded(text, |byte| format!("%{byte:02x}"))]
    {
        forms.push(encoded.replace("%20", "+"));
        forms.push(encoded);
    }
    forms
}

fn replaced(text: &str, pairs: &[(&str, &str)]) -> String {
    pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// How a secret looks in base64, which is how a cluster's Secrets and basic authentication hold it: by itself, and inside
/// of something longer.
fn in_base64(secret: &[u8]) -> Vec<String> {
    if secret.len() < SHORTEST {
        return Vec::new();
    }
    let whole = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].map(|alphabet| alphabet.encode(secret));
    let inside = [STANDARD_NO_PAD, URL_SAFE_NO_PAD].iter().flat_map(|alphabet| {
        // Three bytes are four characters: what stands before it shifts it by none, one or two bytes.
        (0..3).map(|shift| wholly_of(secret, shift, alphabet))
    });
    whole.into_iter().chain(inside).collect()
}

/// The characters that a secret alone decides when so many bytes stand before it in a group of three: those at the edges
/// hold bits of its neighbours.
fn wholly_of(secret: &[u8], shift: usize, alphabet: &GeneralPurpose) -> String {
    let shifted = [&[0; 2][..shift], secret].concat();
    // A character is six bits of the eight of a byte.
    let (first, end) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
    alphabet.encode(shifted)[first..end].to_owned()
}

fn unquoted(literal: &str) -> Option<String> {
    literal.strip_prefix('"')?.strip_suffix('"').map(str::to_owned)
}

fn percent_encoded(text: &str, escape: fn(u8) -> String) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            other => encoded.push_str(&escape(other)),
        }
    }
    encoded
}

fn mask_after(text: &str, marker: &str, ends: fn(char) -> bool) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find(marker) {
        let (before, after) = rest.split_at(position + marker.len());
        clean.push_str(before);
        clean.push_str(MASK);
        rest = &after[after.find(ends).unwrap_or(after.len())..];
    }
    clean.push_str(rest);
    clean
}

fn mask_user_info(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find("://") {
        let (before, after) = rest.split_at(position + 3);
        clean.push_str(before);
        let authority = &after[..after.find(['/', ' ', '"', '\n', '?', '#']).unwrap_or(after.len())];
        rest = match authority.rfind('@') {
            Some(at) => {
                clean.push_str(MASK);
                &after[at..]
            }
            None => after,
        };
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_in_every_spelling() {
        let redactor = Redactor::default();
        redactor.learn("s3cr\"t/key+1");
        for text in
            ["s3cr\"t/key+1", "{\"a\":\"s3cr\\\"t/key+1\"}", "?k=s3cr%22t%2Fkey%2B1&x", "?k=s3cr%22t%2fkey%2b1&x"]
        {
            let clean = redactor.redact(text);
            assert!(clean.contains(MASK), "{clean}");
            assert!(!clean.contains("key"), "{clean}");
        }
    }

    #[test]
    fn a_secret_in_base64_is_masked_alone_and_inside_of_something_longer() {
        // Both alphabets write these otherwise.
        let secret = "s3cr\u{ff}?>/k~y+1";
        let redactor = Redactor::default();
        redactor.learn(&format!("{secret}\n"));
        for alphabet in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
            let data = format!("\"data\":{{\"key\":\"{}\"}}", alphabet.encode(secret));
            assert_eq!(redactor.redact(&data), format!("\"data\":{{\"key\":\"{MASK}\"}}"));
            for before in ["", "x", "xy", "[default]\naws_secret_access_key="] {
                for after in ["", "\n", "\nregion=somewhere\n"] {
                    let clean = redactor.redact(&alphabet.encode(format!("{before}{secret}{after}")));
                    let left: usize = clean.split(MASK).map(str::len).sum();
                    // What its neighbours are, and one character at each edge that it shares with them.
                    let others = (before.len() + after.len()) * 4 / 3;
                    assert!(clean.contains(MASK) && left <= others + 4, "{before:?} {after:?}: {clean}");
                }
            }
        }
    }

    #[test]
    fn a_secret_too_short_to_be_looked_for_is_not_looked_for_in_base64() {
        let redactor = Redactor::default();
        redactor.learn("abc");
        assert_eq!(redactor.redact("YWJj and YWJjZGVm"), "YWJj and YWJjZGVm");
    }

    #[test]
    fn a_secret_that_is_a_line_of_another_is_masked_in_every_spelling_too() {
        let redactor = Redactor::default();
        redactor.learn("first line\nsecond line");
        redactor.learn("second line");
        redactor.learn("second line");
        assert_eq!(redactor.redact("?k=second%20line&x"), format!("?k={MASK}&x"));
    }

    #[test]
    fn a_secret_that_was_read_from_a_file_is_masked_without_its_last_newline() {
        let redactor = Redactor::default();
        redactor.learn("s3cr\"et/key+1\n");
        for text in
            ["?k=s3cr%22et%2Fkey%2B1", "{\"a\":\"s3cr\\\"et/key+1\"}", "s3cr&#34;et/key+1", "s3cr&quot;et/key+1"]
        {
            let clean = redactor.redact(text);
            assert!(clean.contains(MASK) && !clean.contains("key+1") && !clean.contains("key%2B1"), "{clean}");
        }
    }

    #[test]
    fn a_secret_is_masked_as_go_escapes_it_in_json_and_xml() {
        let redactor = Redactor::default();
        redactor.learn("a&b<c>d'long");
        for text in ["a\\u0026b\\u003cc\\u003ed'long", "a&amp;b&lt;c&gt;d&#39;long", "a&amp;b&lt;c&gt;d'long"] {
            assert_eq!(redactor.redact(text), MASK);
        }
    }

    #[test]
    fn a_secret_is_masked_though_its_base64_is_another_one() {
        let redactor = Redactor::default();
        redactor.learn(&STANDARD.encode("hunter2-long-one"));
        redactor.learn("hunter2-long-one");
        assert_eq!(redactor.redact("x hunter2-long-one y"), format!("x {MASK} y"));
    }

    #[test]
    fn a_secret_that_overlaps_itself_leaves_nothing_behind() {
        let redactor = Redactor::default();
        redactor.learn("abab-abab");
        assert_eq!(redactor.redact("x abab-abab-abab y"), format!("x {MASK} y"));
        redactor.learn("ééé-ééé");
        assert_eq!(redactor.redact("ééé-ééé-ééé"), MASK);
    }

    #[test]
    fn a_secret_inside_another_leaves_nothing_behind() {
        let redactor = Redactor::default();
        redactor.learn("hunter");
        redactor.learn("hunter2-the-long-one");
        assert_eq!(redactor.redact("x hunter2-the-long-one y"), format!("x {MASK} y"));
    }

    #[test]
    fn urls_signatures_and_headers_are_masked_without_knowing_them() {
        let redactor = Redactor::default();
        let text = "rest:https://user:pass@host/x?X-Amz-Signature=abc&y=1 Authorization: Bearer zzz\nnext";
        assert_eq!(
            redactor.redact(text),
            format!("rest:https://{MASK}@host/x?X-Amz-Signature={MASK}&y=1 Authorization: {MASK}\nnext")
        );
    }

    #[test]
    fn what_a_server_signed_is_masked_to_its_end() {
        let text = "denied: StringToSign AWS4-HMAC-SHA256\n20261121/us-east-1/s3\nabcdef";
        assert_eq!(Redactor::default().redact(text), format!("denied: StringToSign{MASK}"));
    }

    #[test]
    fn text_without_secrets_stays_as_it_is() {
        let text = "see https://example.com/a@b and user@example.com";
        assert_eq!(Redactor::default().redact(text), text);
    }
}
