//! Which points restic would keep: the arithmetic of `restic forget`.
//!
//! Follows `ApplyPolicy` in restic's `internal/restic/snapshot_policy.go` (0.18). Times count in the offset that is
//! stored with each point, and `keep_within` goes back from the newest one in that point's offset. restic itself lets
//! the time zone of the machine it runs on into that last step when the offset happens to fit; what is kept must not
//! depend on where a command runs, so here it never does.

use jiff::{Timestamp, civil::DateTime};

use super::{Keep, Point};

/// Says for each of `points`, in the order given, whether restic's `forget` would keep it.
///
/// Points after `now` are not taken for the newest when `keep_within` counts back. Of points at the very same moment
/// the first given comes first. The policy must be valid ([`Keep::validate`]).
pub fn apply(points: &[Point], keep: &Keep, now: Timestamp) -> Vec<bool> {
    if keep.all {
        return vec![true; points.len()];
    }
    let mut newest_first: Vec<usize> = (0..points.len()).collect();
    newest_first.sort_by_key(|index| std::cmp::Reverse(points[*index].timestamp));

    let newest = newest_first.iter().map(|index| points[*index]).find(|point| point.timestamp < now);
    let within = keep.within.as_ref().map(|within| newest.and_then(|newest| within.before(newest)));
    let mut rules = rules(keep);

    let mut kept = vec![false; points.len()];
    for (position, index) in newest_first.iter().enumerate() {
        let point = points[*index];
        let is_oldest = position + 1 == newest_first.len();
        let young = within.is_some_and(|limit| limit.is_none_or(|limit| point.timestamp > limit));
        // Every rule is asked, also when another one keeps the point already: each counts for itself.
        let mut counted = false;
        for rule in &mut rules {
            counted |= rule.keeps(point.local(), position, is_oldest);
        }
        kept[*index] = young || counted;
    }
    kept
}

/// The number of the period that a point belongs to: by what the clock showed, or by its place in the series.
type Bucket = fn(DateTime, usize) -> i64;

/// A counted rule on its way from the newest point to the oldest.
struct Rule {
    left: u32,
    bucket: Bucket,
    last_bucket: Option<i64>,
}

impl Rule {
    /// Keeps the first point of each bucket while there is something left to count, and then also the oldest point,
    /// which makes the history as long as it can be.
    fn keeps(&mut self, local: DateTime, position: usize, is_oldest: bool) -> bool {
        let bucket = (self.bucket)(local, position);
        if self.left == 0 || (self.last_bucket == Some(bucket) && !is_oldest) {
            return false;
        }
        self.last_bucket = Some(bucket);
        self.left -= 1;
        true
    }
}

fn rules(keep: &Keep) -> Vec<Rule> {
    let buckets: [(Option<u32>, Bucket); 6] = [
        (keep.last, |_, position| i64::try_from(position).unwrap_or(i64::MAX)),
        (keep.hourly, |local, _| day(local) * 100 + i64::from(local.hour())),
        (keep.daily, |local, _| day(local)),
        (keep.weekly, |local, _| {
            let week = local.date().iso_week_date();
            i64::from(week.year()) * 100 + i64::from(week.week())
        }),
        (keep.monthly, |local, _| month(local)),
        (keep.yearly, |local, _| i64::from(local.year())),
    ];
    let counted = buckets.into_iter().filter_map(|(count, bucket)| Some((count?, bucket)));
    counted.map(|(left, bucket)| Rule { left, bucket, last_bucket: None }).collect()
}

fn month(local: DateTime) -> i64 {
    i64::from(local.year()) * 100 + i64::from(local.month())
}

fn day(local: DateTime) -> i64 {
    month(local) * 100 + i64::from(local.day())
}

#[cfg(test)]
#[path = "restic_tests.rs"]
mod tests;
