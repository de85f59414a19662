//! Whether the newest point holds suspiciously little.

use super::Point;

/// How many points before the newest say what is usual.
const USUAL: std::ops::RangeInclusive<usize> = 3..=10;

/// The size of the newest point and the usual one, when the newest holds less than a tenth of it. `whole` is newest first.
pub fn shrunk(whole: &[&Point]) -> Option<(u64, u64)> {
    let (newest, before) = whole.split_first()?;
    let newest = newest.bytes?;
    let mut usual: Vec<u64> = before.iter().filter_map(|point| point.bytes).take(*USUAL.end()).collect();
    if usual.len() < *USUAL.start() {
        return None;
    }
    usual.sort_unstable();
    let median = usual[usual.len() / 2];
    (newest < median / 10).then_some((newest, median))
}
