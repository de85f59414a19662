//! The configurations in a page's text.

/// A fenced block of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snippet {
    /// The line that it begins at, from 1.
    pub line: usize,
    /// What stands behind the word `terraform`: `fragment` for what is no configuration by itself.
    pub note: String,
    /// What it says.
    pub text: String,
}

/// The blocks of a page that are marked as configuration: ```` ```terraform ````.
pub fn snippets(page: &str) -> Vec<Snippet> {
    let mut found = Vec::new();
    let mut open: Option<(bool, Snippet)> = None;
    for (index, line) in page.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        open = match (open, fence) {
            (None, Some(mark)) => {
                let (language, note) = mark.split_once(' ').unwrap_or((mark, ""));
                let snippet = Snippet { line: index + 2, note: note.to_owned(), text: String::new() };
                Some((matches!(language, "terraform" | "hcl"), snippet))
            }
            (Some((wanted, snippet)), Some(_)) => {
                if wanted {
                    found.push(snippet);
                }
                None
            }
            (Some((wanted, mut snippet)), None) => {
                snippet.text.push_str(line);
                snippet.text.push('\n');
                Some((wanted, snippet))
            }
            (None, None) => None,
        };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_of_configuration_are_found() {
        let page = "# Page\n\n```sh\ntofu apply\n```\n\n```terraform\na = 1\nb = 2\n```\n\n```terraform fragment\nc = 3\n```\n";
        let found = snippets(page);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].line, found[0].text.as_str()), (8, "a = 1\nb = 2\n"));
        assert_eq!(found[1].note, "fragment");
    }
}
