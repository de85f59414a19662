//! One page of each kind.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use dr_framework::{AnyDataSource, AnyResource, Field, Function, Model, Provider, Server};

use super::{read, schema};

/// The configurations that the tests apply, and the pages show.
pub struct Examples {
    /// `examples/`.
    pub folder: PathBuf,
}

impl Examples {
    /// An example that there has to be.
    fn needed(&self, path: &str) -> Result<String> {
        Ok(format!("## Example Usage\n\n{}\n", fenced("terraform", &read(&self.folder.join(path))?)))
    }

    /// An example that there may be.
    fn maybe(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.folder.join(path)).ok()
    }
}

/// What the index says of a guide.
pub struct Guide {
    name: String,
    title: String,
    description: String,
}

impl Guide {
    /// Out of a guide's front matter.
    pub fn of(file: &Path, text: &str) -> Result<Self> {
        let name = file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let field = |field: &str| {
            let line = text.lines().take(10).find_map(|line| line.strip_prefix(&format!("{field}: ")));
            let value = line.map(|value| value.trim_matches('"').to_owned());
            value.with_context(|| format!("{} has no `{field}` in its front matter", file.display()))
        };
        field("subcategory")?;
        Ok(Guide { name, title: field("page_title")?, description: field("description")? })
    }
}

/// A type's name without the provider's.
pub fn short(type_name: &str) -> &str {
    type_name.strip_prefix("dr_").unwrap_or(type_name)
}

/// The page of a resource.
pub fn resource(resource: &dyn AnyResource, examples: &Examples) -> Result<String> {
    let name = resource.type_name();
    let description = resource.schema().description;
    let mut page = head(&format!("{name} Resource - dr"), &description);
    let _ = write!(page, "# {name} (Resource)\n\n{description}\n\n");
    page.push_str(&examples.needed(&format!("resources/{name}/resource.tf"))?);
    let _ = write!(page, "\n{}", schema::schema(resource.fields()));
    if let Some(import) = import(resource, examples)? {
        let _ = write!(page, "\n{import}");
    }
    Ok(page)
}

/// The page of a data source.
pub fn data_source(source: &dyn AnyDataSource, examples: &Examples) -> Result<String> {
    let name = source.type_name();
    let description = source.schema().description;
    let mut page = head(&format!("{name} Data Source - dr"), &description);
    let _ = write!(page, "# {name} (Data Source)\n\n{description}\n\n");
    page.push_str(&examples.needed(&format!("data-sources/{name}/data-source.tf"))?);
    let _ = write!(page, "\n{}", schema::schema(source.fields()));
    Ok(page)
}

/// The page of a function.
pub fn function(function: &dyn Function, examples: &Examples) -> Result<String> {
    let (name, signature) = (function.name(), function.signature());
    let mut page = head(&format!("{name} function - dr"), &signature.summary);
    let _ = write!(page, "# function: {name}\n\n{}\n\n", signature.description);
    page.push_str(&examples.needed(&format!("functions/{name}/function.tf"))?);
    let mut parameters: Vec<_> = signature.parameters.iter().map(|parameter| (parameter, "")).collect();
    parameters.extend(signature.variadic.iter().map(|parameter| (parameter, "...")));
    let listed: Vec<_> = parameters
        .iter()
        .map(|(parameter, dots)| format!("{} {}{dots}", parameter.name, schema::signature_type(&parameter.ty)))
        .collect();
    let line = format!("{name}({}) {}\n", listed.join(", "), schema::signature_type(&signature.result));
    let _ = write!(page, "\n## Signature\n\n{}\n\n## Arguments\n\n", fenced("text", &line));
    for (number, (parameter, dots)) in parameters.iter().enumerate() {
        let kind = match (parameter.allow_null, dots.is_empty()) {
            (true, _) => ", Nullable",
            (false, false) => ", Variadic",
            (false, true) => "",
        };
        let (ty, text) = (schema::argument_type(&parameter.ty), schema::sentence(&parameter.description));
        let _ = writeln!(page, "{}. `{}` ({ty}{kind}) {text}", number + 1, parameter.name);
    }
    Ok(page)
}

/// The page of the provider.
pub fn index<P: Provider>(server: &Server<P>, examples: &Examples, guides: &[Guide]) -> Result<String> {
    let description = server.config_schema().description;
    let mut page = head("dr Provider", &description);
    let _ = write!(page, "# dr Provider\n\n{description}\n\n");
    page.push_str(&examples.needed("provider/provider.tf")?);
    page.push_str("\n## Guides\n\n");
    for guide in guides {
        let _ = writeln!(page, "- [{}](guides/{}.md): {}", guide.title, guide.name, guide.description);
    }
    let _ = write!(page, "\n{}", schema::schema(&P::Config::fields()));
    Ok(page)
}

/// A guide with its generated parts filled in: what stands between
/// `<!-- schema: dr_backup_target.restic -->` and `<!-- end of schema -->`.
pub fn fill<P: Provider>(text: &str, server: &Server<P>) -> Result<String> {
    const BEGIN: &str = "<!-- schema: ";
    const END: &str = "<!-- end of schema -->";
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (path, after) = after.split_once(" -->").context("a mark of a schema has no end")?;
        let (_, after) = after.split_once(END).with_context(|| format!("{path} has no `{END}`"))?;
        // What is nested further is on the page of the resource.
        let (of, name) = path.split_once('.').with_context(|| format!("{path} is not `<resource>.<attribute>`"))?;
        let page = format!("](../resources/{}.md#nestedatt--{name}--", of.trim_start_matches("dr_"));
        let slice = schema::slice(&field(server, path)?).replace("](#nestedatt--", &page);
        let _ = write!(filled, "{before}{BEGIN}{path} -->\n{slice}{END}");
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn field<P: Provider>(server: &Server<P>, path: &str) -> Result<Field> {
    let (of, name) = path.split_once('.').with_context(|| format!("{path} is not `<resource>.<attribute>`"))?;
    let resource = server.resources().find(|resource| resource.type_name() == of);
    let fields = resource.with_context(|| format!("there is no resource {of}"))?.fields();
    let found = fields.iter().find(|field| field.name == name);
    found.cloned().with_context(|| format!("{of} has no attribute {name}"))
}

/// How a resource is imported, if it can be: what has an `import.sh`, and in any case what has an identity.
fn import(resource: &dyn AnyResource, examples: &Examples) -> Result<Option<String>> {
    let folder = format!("resources/{}", resource.type_name());
    let identity = resource.identity_schema();
    if identity.is_none() && examples.maybe(&format!("{folder}/import.sh")).is_none() {
        return Ok(None);
    }
    let needed = |language: &str, file: &str| {
        let path = format!("{folder}/{file}");
        examples.maybe(&path).map(|text| fenced(language, &text)).with_context(|| format!("examples/{path} is missing"))
    };
    let mut text = format!("## Import\n\nBy command:\n\n{}\n\n", needed("shell", "import.sh")?);
    let _ = write!(text, "By a block, with the id:\n\n{}\n", needed("terraform", "import-by-string-id.tf")?);
    let Some(identity) = identity else { return Ok(Some(text)) };
    let by_identity = needed("terraform", "import-by-identity.tf")?;
    let _ = write!(text, "\nBy a block, with the identity (Terraform 1.12 or newer):\n\n{by_identity}\n\n");
    text.push_str("### Identity Schema\n\n#### Required\n\n");
    ensure!(
        identity.attributes.iter().all(|attribute| attribute.required_for_import),
        "an optional identity attribute"
    );
    for attribute in &identity.attributes {
        let ty = schema::argument_type(&attribute.ty);
        let _ = writeln!(text, "- `{}` ({ty}) {}", attribute.name, schema::sentence(&attribute.description));
    }
    Ok(Some(text))
}

/// Front matter as the registry wants it.
fn head(title: &str, description: &str) -> String {
    let first = description.split("\n\n").next().unwrap_or_default();
    let summary = schema::sentence(first);
    // The registry takes no subcategory of the index, and wants one of every other page.
    let subcategory = if title.ends_with("Provider") { "" } else { "subcategory: \"\"\n" };
    format!("---\npage_title: \"{title}\"\n{subcategory}description: |-\n  {summary}\n---\n\n")
}

fn fenced(language: &str, text: &str) -> String {
    format!("```{language}\n{}\n```", text.trim_end())
}
