//! The engine table as Markdown.

use std::fmt::Write;

use anyhow::{Context, Result};
use dr_resources::engines::table::{
    Concept, ENGINES, EmptyProbe, Engine, Exclusive, HandOver, LedgerPlace, OnDemandObject, Pause, PointsFrom,
    QuiesceOrder, ReadOnly, RetentionScope, SecretReadBack,
};

const BEGIN: &str = "<!-- engines -->\n";
const END: &str = "<!-- end of engines -->";

/// A guide with the table between its two marks, if it has them.
pub fn fill(text: &str) -> Result<String> {
    let Some((before, after)) = text.split_once(BEGIN) else { return Ok(text.to_owned()) };
    let (_, after) = after.split_once(END).with_context(|| format!("`{}` has no `{END}`", BEGIN.trim()))?;
    Ok(format!("{before}{BEGIN}{}{END}{after}", matrix(ENGINES)))
}

/// A row for each thing that is said of engines, a column for each engine; the tests' own is none of theirs.
fn matrix(engines: &[Engine]) -> String {
    let engines: Vec<_> = engines.iter().filter(|engine| engine.name != "toy").collect();
    let columns: Vec<_> = engines.iter().map(|engine| cells(engine)).collect();
    let mut text = String::from("| |");
    for engine in &engines {
        let _ = write!(text, " `{}` |", engine.name);
    }
    let _ = writeln!(text, "\n|---|{}", "---|".repeat(engines.len()));
    for (row, (title, _)) in columns.first().into_iter().flatten().enumerate() {
        let _ = write!(text, "| {title} |");
        for column in &columns {
            let _ = write!(text, " {} |", column[row].1);
        }
        text.push('\n');
    }
    text
}

/// Everything that the table says of one engine: a new column does not compile until it is said.
fn cells(engine: &Engine) -> Vec<(&'static str, String)> {
    let Engine {
        name: _,
        concepts: _,
        retention_scope,
        exclusive,
        empty_probe,
        quiesce_order,
        hand_over,
        pause,
        read_only,
        always_owned,
        secret_read_back,
        on_demand_object,
        removes_one_backup,
        points_from,
        ledger_place,
    } = *engine;
    let has = |concept| if engine.has(concept) { "yes" } else { "–" };
    let of = |concept, said: String| if engine.has(concept) { said } else { "–".to_owned() };
    let job = match on_demand_object {
        OnDemandObject::None => "yes, by the provider itself".to_owned(),
        OnDemandObject::Own(kind) => format!("yes, by a {kind} named after the run"),
    };
    vec![
        ("`dr_backup_target`", has(Concept::Target).to_owned()),
        ("`dr_backup_schedule`", has(Concept::Schedule).to_owned()),
        ("`dr_backup_job`", of(Concept::Backup, job)),
        ("`dr_restore_job`", has(Concept::Restore).to_owned()),
        ("`dr_recovery_points` are read from", of(Concept::Points, points(points_from).to_owned())),
        ("`retention` is set on", retention(retention_scope).to_owned()),
        ("A target that writes has for itself", owned(exclusive).to_owned()),
        ("`target_missing_or_empty` is told by", emptiness(empty_probe).to_owned()),
        ("Taken down", quiesce(quiesce_order, ledger_place).to_owned()),
        ("During a restore its schedule rests by", rest(pause)),
        ("`perform = false` exports", hand_over_of(hand_over)),
        ("`access = \"read_only\"`", access(read_only)),
        ("Put right even if it is not configured", list(always_owned)),
        ("A stale secret is seen by", secret(secret_read_back).to_owned()),
        ("A destroyed job can delete its backup", if removes_one_backup { "yes" } else { "–" }.to_owned()),
        ("A restore is recorded", ledger(ledger_place).to_owned()),
    ]
}

fn points(from: PointsFrom) -> &'static str {
    match from {
        PointsFrom::Repository => "the repository",
        PointsFrom::Bucket => "the bucket",
        PointsFrom::Api => "the server",
    }
}

fn retention(scope: RetentionScope) -> &'static str {
    match scope {
        RetentionScope::None => "–",
        RetentionScope::Schedule => "the schedule, for what it made",
        RetentionScope::Group => "one schedule of the namespace, for all that the namespace has in the repository",
        RetentionScope::Target => "the target, for all that it holds",
    }
}

fn owned(exclusive: Exclusive) -> &'static str {
    match exclusive {
        Exclusive::Nothing => "nothing",
        Exclusive::Prefix => "its prefix",
        Exclusive::Namespace => "what its namespace has below the prefix",
    }
}

fn emptiness(probe: EmptyProbe) -> &'static str {
    match probe {
        EmptyProbe::None => "–",
        EmptyProbe::Directory => "a folder without entries",
        EmptyProbe::Reported(what) => what,
    }
}

fn quiesce(order: QuiesceOrder, place: LedgerPlace) -> &'static str {
    match (place, order) {
        // No application is known around a path.
        (LedgerPlace::Path, _) => "–",
        (_, QuiesceOrder::QuiesceFirst) => "before the safety backup",
        (_, QuiesceOrder::SafetyFirst) => "after the safety backup",
    }
}

fn rest(pause: Pause) -> String {
    match pause {
        Pause::None => "–".to_owned(),
        Pause::Lock => "a lock in the repository".to_owned(),
        Pause::Field(field) => format!("`{field}`"),
        Pause::Delete => "being taken away".to_owned(),
    }
}

fn hand_over_of(hand_over: HandOver) -> String {
    match hand_over {
        HandOver::None => "–".to_owned(),
        HandOver::Exports(names) => list(names),
    }
}

fn access(read_only: ReadOnly) -> String {
    match read_only {
        ReadOnly::RestoresOnly => "nothing but restores is accepted".to_owned(),
        ReadOnly::Rendered(field) => format!("`{field}`"),
        ReadOnly::NothingWritten => "nothing is written, not even a lock".to_owned(),
    }
}

fn secret(read_back: SecretReadBack) -> &'static str {
    match read_back {
        SecretReadBack::None => "–",
        SecretReadBack::Compare => "comparing with the Secret",
        SecretReadBack::Test => "trying it with each job",
    }
}

fn ledger(place: LedgerPlace) -> &'static str {
    match place {
        LedgerPlace::Path => "beside the path",
        LedgerPlace::Namespace => "in the namespace",
        LedgerPlace::Store => "in the storage",
    }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() {
        return "–".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_between_its_marks_and_nothing_else_changes() {
        let page = format!("before\n{BEGIN}of yesterday\n{END}\nafter\n");
        let filled = fill(&page).unwrap();
        assert!(filled.starts_with("before\n<!-- engines -->\n| | `restic` |"), "{filled}");
        assert!(filled.ends_with("|\n<!-- end of engines -->\nafter\n"), "{filled}");
        assert!(!filled.contains("toy") && !filled.contains("yesterday"), "{filled}");
        assert_eq!(fill(&filled).unwrap(), filled);
        assert_eq!(fill("no marks").unwrap(), "no marks");
        assert!(fill(BEGIN).is_err());
    }
}
