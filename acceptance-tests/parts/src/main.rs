//! Prints where the named parts are, getting them first: `part tofu restic`.

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if names.is_empty() {
        bail!("name one or more of: {}", parts::ALL.map(|part| part.name).join(", "));
    }
    for name in names {
        let part = parts::ALL.into_iter().find(|part| part.name == name);
        let part = part.with_context(|| format!("there is no part {name}"))?;
        println!("{}", part.get()?.display());
    }
    Ok(())
}
