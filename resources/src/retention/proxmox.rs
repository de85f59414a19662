//! Which points Proxmox VE and Proxmox Backup Server would keep.
//!
//! Their rules are stacked: each one looks only at what the rules before it left open, and periods that already hold a
//! kept point aren't counted. Follows `compute_prune_info` of proxmox-backup's `pbs-datastore/src/prune.rs`; Proxmox VE's
//! `prune_mark_backup_group` does the same.

use std::collections::HashSet;

use jiff::{Timestamp, Zoned, tz::TimeZone};

use super::Keep;

/// Why Proxmox can't have a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxmoxError {
    /// An age.
    #[error(
        "Proxmox counts points and knows no age, so keep_within = {within:?} can't be expressed: use keep_daily, or keep_last with the number of backups in that time"
    )]
    Within {
        /// The age as it was written.
        within: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Keep,
    Remove,
}

/// Says for each of `times`, in the order given, whether Proxmox would keep it. Hours, days, weeks, months and years are
/// those of the server's `time_zone`. The policy must be valid ([`Keep::validate`]).
pub fn apply(times: &[Timestamp], keep: &Keep, time_zone: &TimeZone) -> Result<Vec<bool>, ProxmoxError> {
    if let Some(within) = &keep.within {
        return Err(ProxmoxError::Within { within: within.to_string() });
    }
    if keep.all {
        return Ok(vec![true; times.len()]);
    }
    let mut newest_first: Vec<usize> = (0..times.len()).collect();
    newest_first.sort_by_key(|index| std::cmp::Reverse(times[*index]));
    let local: Vec<Zoned> = newest_first.iter().map(|index| times[*index].to_zoned(time_zone.clone())).collect();

    let mut marks = vec![None; times.len()];
    for (count, bucket) in rules(keep) {
        let buckets: Vec<String> = local.iter().enumerate().map(|(position, local)| bucket(local, position)).collect();
        mark(&mut marks, &buckets, count);
    }

    let mut kept = vec![false; times.len()];
    for (index, mark) in newest_first.into_iter().zip(marks) {
        kept[index] = mark == Some(Mark::Keep);
    }
    Ok(kept)
}

/// Applies one rule, from the newest point to the oldest: the first point of each new bucket is kept until `count`
/// buckets are used; the others of such a bucket are removed for good.
fn mark(marks: &mut [Option<Mark>], buckets: &[String], count: u32) {
    let covered: HashSet<&String> =
        marks.iter().zip(buckets).filter(|(mark, _)| **mark == Some(Mark::Keep)).map(|(_, bucket)| bucket).collect();
    let mut used = HashSet::new();
    for (mark, bucket) in marks.iter_mut().zip(buckets) {
        if mark.is_some() || covered.contains(bucket) {
            continue;
        }
        if used.contains(bucket) {
            *mark = Some(Mark::Remove);
        } else if used.len() < usize::try_from(count).unwrap_or(usize::MAX) {
            used.insert(bucket);
            *mark = Some(Mark::Keep);
        } else {
            break;
        }
    }
}

/// The name of the period that a point belongs to.
type Bucket = fn(&Zoned, usize) -> String;

fn rules(keep: &Keep) -> impl Iterator<Item = (u32, Bucket)> {
    let rules: [(Option<u32>, Bucket); 6] = [
        (keep.last, |_, position| position.to_string()),
        (keep.hourly, |local, _| format!("{} {}", local.date(), local.hour())),
        (keep.daily, |local, _| local.date().to_string()),
        (keep.weekly, |local, _| {
            let week = local.date().iso_week_date();
            format!("{} {}", week.year(), week.week())
        }),
        (keep.monthly, |local, _| format!("{} {}", local.year(), local.month())),
        (keep.yearly, |local, _| local.year().to_string()),
    ];
    rules.into_iter().filter_map(|(count, bucket)| Some((count?, bucket)))
}

#[cfg(test)]
#[path = "proxmox_tests.rs"]
mod tests;
