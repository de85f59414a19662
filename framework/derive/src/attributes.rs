//! Reads doc comments and `#[dr(…)]`.

use syn::{Attribute, Expr, Lit, LitStr, Meta, Path, Result};

/// What `#[dr(…)]` says about a field, a variant or an enum.
#[derive(Default)]
pub(crate) struct Options {
    pub required: bool,
    pub optional: bool,
    pub computed: bool,
    pub sensitive: bool,
    pub write_only: bool,
    pub requires_replace: bool,
    pub one_of: bool,
    pub flatten: bool,
    pub default: Option<Lit>,
    pub default_with: Option<Path>,
    pub validate: Vec<Path>,
    pub equal: Option<Path>,
    pub deprecated: Option<LitStr>,
    pub rename: Option<LitStr>,
    pub group: Option<LitStr>,
}

pub(crate) fn options(attributes: &[Attribute]) -> Result<Options> {
    let mut options = Options::default();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("dr")) {
        attribute.parse_nested_meta(|meta| {
            let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            match name.as_str() {
                "required" => options.required = true,
                "optional" => options.optional = true,
                "computed" => options.computed = true,
                "sensitive" => options.sensitive = true,
                "write_only" => options.write_only = true,
                "requires_replace" => options.requires_replace = true,
                "one_of" => options.one_of = true,
                "flatten" => options.flatten = true,
                "default" => options.default = Some(meta.value()?.parse()?),
                "default_with" => options.default_with = Some(meta.value()?.parse()?),
                "validate" => options.validate.push(meta.value()?.parse()?),
                "equal" => options.equal = Some(meta.value()?.parse()?),
                "deprecated" => options.deprecated = Some(meta.value()?.parse()?),
                "rename" => options.rename = Some(meta.value()?.parse()?),
                "group" => options.group = Some(meta.value()?.parse()?),
                _ => return Err(meta.error("unknown `dr` option")),
            }
            Ok(())
        })?;
    }
    if options.default.is_some() || options.default_with.is_some() {
        options.optional = true;
        options.computed = true;
    }
    Ok(options)
}

/// The doc comment as Markdown: lines joined, one leading space of each removed.
pub(crate) fn documentation(attributes: &[Attribute]) -> String {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => {
                    let text = text.value();
                    Some(text.strip_prefix(' ').unwrap_or(&text).to_owned())
                }
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    attributes.iter().filter_map(line).collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// `BackupTarget` → `backup_target`.
pub(crate) fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (position, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && position > 0 {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
