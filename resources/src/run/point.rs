//! Which recovery point a restore takes.

use jiff::Timestamp;

use super::When;
use crate::ledger::PinnedPoint;
use crate::words::counted;

/// How many points before the newest one its size is compared with, at most and at least.
const COMPARED: std::ops::RangeInclusive<usize> = 3..=10;

/// The newest point is suspicious when it holds less than this part of what is usual.
const SHRUNK: u64 = 10;

/// A recovery point of the series that a job restores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The engine's id.
    pub id: String,
    /// When it was taken.
    pub time: Timestamp,
    /// How much it holds, where known.
    pub bytes: Option<u64>,
    /// How many files or items it holds, where known.
    pub items: Option<u64>,
    /// What it was taken for.
    pub kind: PointKind,
}

/// What a point was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointKind {
    /// To be restored.
    Backup,
    /// To undo a restore.
    Safety,
    /// Its backup did not end well.
    Incomplete,
}

impl Point {
    /// Whether it holds nothing, where that is known.
    pub fn holds_nothing(&self) -> Option<bool> {
        match (self.items, self.bytes) {
            (Some(items), _) => Some(items == 0),
            // Without bytes there may still be folders and empty files.
            (None, Some(bytes)) if bytes > 0 => Some(false),
            _ => None,
        }
    }

    /// What a record keeps of it.
    pub fn pinned(&self) -> PinnedPoint {
        PinnedPoint { id: self.id.clone(), time: self.time, bytes: self.bytes }
    }

    fn is_candidate(&self) -> bool {
        self.kind == PointKind::Backup && self.holds_nothing() != Some(true)
    }
}

/// The point that the configuration asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PointChoice {
    /// The newest.
    #[default]
    Newest,
    /// The newest at or before a time.
    At(Timestamp),
    /// This one, or the one whose id begins so; whatever it is.
    Id(String),
}

/// A choice that could be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenPoint {
    /// The point.
    pub point: Point,
    /// Why this one, for people.
    pub because: String,
}

/// Why no point could be chosen. [`NoPoint::None`] is the one case in which there is nothing at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPoint {
    /// The listing is empty.
    #[error("there is no recovery point")]
    None,
    /// There are points, none to restore.
    #[error(
        "of {} none can be restored by itself: each is a safety backup, incomplete, or holds nothing", counted(*.count, "recovery point", "recovery points")
    )]
    Unusable {
        /// How many there are.
        count: usize,
    },
    /// All are younger.
    #[error("there is no recovery point at or before {at}; the nearest is {id} of {time}")]
    TooEarly {
        /// The time asked for.
        at: Timestamp,
        /// The oldest usable point.
        id: String,
        /// When it was taken.
        time: Timestamp,
    },
    /// No id begins so.
    #[error("there is no recovery point {id}")]
    UnknownId {
        /// What was asked for.
        id: String,
    },
    /// It is there, and its own file is damaged.
    #[error(
        "recovery point {id} can't be read: its file in the storage is damaged. Bring the file back from another copy of the \
         storage, or choose another point"
    )]
    Unreadable {
        /// The point.
        id: String,
    },
    /// Nothing that can be read is a point to restore, and there is what can't be read.
    #[error(
        "there is no recovery point that can be read: the files of {} in the storage are damaged, and nobody knows what they \
         hold", .ids.join(", ")
    )]
    AllUnreadable {
        /// The points.
        ids: Vec<String>,
    },
    /// More than one id begins so.
    #[error("the id {id} fits more than one recovery point: {}", .fits.join(", "))]
    AmbiguousId {
        /// What was asked for.
        id: String,
        /// What it fits.
        fits: Vec<String>,
    },
    /// Points that may be backups of the new, empty target.
    #[error("the newest recovery point {id} of {time} was taken after the target was made at {born}, and what it holds \
             can't be told: it may be a backup of the new, empty target. Set recovery_point.id; candidates: {}", .candidates.join(", "))]
    YoungerThanTarget {
        /// The newest.
        id: String,
        /// When it was taken.
        time: Timestamp,
        /// When the target was made.
        born: Timestamp,
        /// Ids and times to choose from.
        candidates: Vec<String>,
    },
    /// The newest point holds far less than those before it.
    #[error("the newest recovery point {id} of {time} holds {bytes} bytes, less than a tenth of what is usual ({usual}). \
             Set recovery_point.id; candidates: {}", .candidates.join(", "))]
    Shrunk {
        /// The newest.
        id: String,
        /// When it was taken.
        time: Timestamp,
        /// What it holds.
        bytes: u64,
        /// The median of those before it.
        usual: u64,
        /// Ids and times to choose from.
        candidates: Vec<String>,
    },
}

/// Chooses among the points of a series, in any order. `born` is when the target was made, if it exists.
pub fn choose(
    points: &[Point],
    choice: &PointChoice,
    when: When,
    born: Option<Timestamp>,
) -> Result<ChosenPoint, NoPoint> {
    if let PointChoice::Id(id) = choice {
        return by_id(points, id);
    }
    if points.is_empty() {
        return Err(NoPoint::None);
    }
    let mut usable: Vec<&Point> = points.iter().filter(|point| point.is_candidate()).collect();
    usable.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| a.id.cmp(&b.id)));
    let Some(oldest) = usable.last().copied() else { return Err(NoPoint::Unusable { count: points.len() }) };
    let (at_or_before, because) = match choice {
        PointChoice::At(at) => {
            usable.retain(|point| point.time <= *at);
            (Some(*at), format!("the newest at or before {at}"))
        }
        _ => (None, "the newest".to_owned()),
    };
    let Some(newest) = usable.first().copied() else {
        let at = at_or_before.unwrap_or(oldest.time);
        return Err(NoPoint::TooEarly { at, id: oldest.id.clone(), time: oldest.time });
    };
    let candidates = || usable.iter().take(10).map(|point| format!("{} of {}", point.id, point.time)).collect();
    if let Some(born) = born.filter(|born| when != When::Always && newest.time > *born)
        && newest.holds_nothing().is_none()
    {
        let (id, time) = (newest.id.clone(), newest.time);
        return Err(NoPoint::YoungerThanTarget { id, time, born, candidates: candidates() });
    }
    if let Some((bytes, usual)) = shrunk(&usable) {
        let (id, time) = (newest.id.clone(), newest.time);
        return Err(NoPoint::Shrunk { id, time, bytes, usual, candidates: candidates() });
    }
    Ok(ChosenPoint { point: newest.clone(), because })
}

fn by_id(points: &[Point], id: &str) -> Result<ChosenPoint, NoPoint> {
    let because = "named by recovery_point.id".to_owned();
    if let Some(point) = points.iter().find(|point| point.id == id) {
        return Ok(ChosenPoint { point: point.clone(), because });
    }
    let fits: Vec<&Point> = points.iter().filter(|point| !id.is_empty() && point.id.starts_with(id)).collect();
    match fits.as_slice() {
        [] => Err(NoPoint::UnknownId { id: id.to_owned() }),
        [point] => Ok(ChosenPoint { point: (*point).clone(), because }),
        _ => Err(NoPoint::AmbiguousId { id: id.to_owned(), fits: fits.iter().map(|point| point.id.clone()).collect() }),
    }
}

/// What the newest holds and the median of those before it, when that is ten times as much.
fn shrunk(newest_first: &[&Point]) -> Option<(u64, u64)> {
    let bytes = newest_first.first()?.bytes?;
    let mut before: Vec<u64> = newest_first[1..].iter().filter_map(|point| point.bytes).take(*COMPARED.end()).collect();
    if before.len() < *COMPARED.start() {
        return None;
    }
    before.sort_unstable();
    let middle = before.len() / 2;
    let usual =
        if before.len().is_multiple_of(2) { before[middle - 1].midpoint(before[middle]) } else { before[middle] };
    (bytes < usual.div_ceil(SHRUNK)).then_some((bytes, usual))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn point(id: &str, second: i64, bytes: u64) -> Point {
        Point { id: id.into(), time: at(second), bytes: Some(bytes), items: Some(bytes), kind: PointKind::Backup }
    }

    fn newest(points: &[Point]) -> Result<String, NoPoint> {
        choose(points, &PointChoice::Newest, When::TargetMissing, None).map(|chosen| chosen.point.id)
    }

    #[test]
    fn newest_is_never_a_safety_backup_an_incomplete_or_an_empty_point() {
        let safety = Point { kind: PointKind::Safety, ..point("d", 4, 100) };
        let incomplete = Point { kind: PointKind::Incomplete, ..point("c", 3, 100) };
        let points = [point("a", 1, 100), point("b", 2, 0), incomplete, safety];
        assert_eq!(newest(&points).unwrap(), "a");
        assert_eq!(newest(&points[1..]), Err(NoPoint::Unusable { count: 3 }));
        assert_eq!(newest(&[]), Err(NoPoint::None));
    }

    #[test]
    fn an_id_is_exact_even_for_a_safety_backup_and_may_be_shortened_while_it_fits_one() {
        let points = [Point { kind: PointKind::Safety, ..point("abc1", 4, 0) }, point("abd2", 3, 5)];
        let by = |id: &str| choose(&points, &PointChoice::Id(id.into()), When::TargetMissing, None);
        assert_eq!(by("abc").unwrap().point.id, "abc1");
        assert_eq!(by("ab"), Err(NoPoint::AmbiguousId { id: "ab".into(), fits: vec!["abc1".into(), "abd2".into()] }));
        assert_eq!(by("x"), Err(NoPoint::UnknownId { id: "x".into() }));
        assert!(by("").is_err());
    }

    #[test]
    fn a_time_before_all_points_names_the_nearest() {
        let points = [point("b", 20, 1), point("a", 10, 1)];
        let by = |second| choose(&points, &PointChoice::At(at(second)), When::TargetMissing, None);
        assert_eq!(by(15).unwrap().point.id, "a");
        assert_eq!(by(20).unwrap().point.id, "b");
        assert_eq!(by(5), Err(NoPoint::TooEarly { at: at(5), id: "a".into(), time: at(10) }));
    }

    #[test]
    fn b1_a_point_younger_than_its_target_counts_only_when_it_is_known_to_hold_something() {
        let unknown = |id: &str, second| Point { bytes: None, items: None, ..point(id, second, 0) };
        let points = [point("old", 10, 5), unknown("young", 30)];
        let choose = |when, born| choose(&points, &PointChoice::Newest, when, born).map(|chosen| chosen.point.id);
        let error = choose(When::TargetMissingOrEmpty, Some(at(20))).unwrap_err();
        assert!(matches!(error, NoPoint::YoungerThanTarget { .. }), "{error}");
        assert_eq!(choose(When::Always, Some(at(20))).unwrap(), "young");
        assert_eq!(choose(When::TargetMissing, None).unwrap(), "young");
        let empty = [point("old", 10, 5), point("young", 30, 0)];
        assert_eq!(newest(&empty).unwrap(), "old");
    }

    #[test]
    fn a_newest_point_an_order_of_magnitude_smaller_than_its_series_is_not_taken_by_itself() {
        let mut points: Vec<Point> = (1..=3).map(|n| point(&n.to_string(), n, 1000)).collect();
        points.push(point("small", 9, 99));
        assert!(matches!(newest(&points), Err(NoPoint::Shrunk { bytes: 99, usual: 1000, .. })));
        points[3] = point("enough", 9, 100);
        assert_eq!(newest(&points).unwrap(), "enough");
        // Two before it are too few to know what is usual.
        assert_eq!(newest(&[point("a", 1, 1000), point("b", 2, 1000), point("c", 3, 1)]).unwrap(), "c");
    }

    #[test]
    fn only_the_last_ten_points_say_what_is_usual() {
        let mut points: Vec<Point> = (0..20).map(|n| point(&format!("old{n}"), n, 1_000_000)).collect();
        points.extend((20..30).map(|n| point(&format!("new{n}"), n, 100)));
        points.push(point("newest", 40, 90));
        assert_eq!(newest(&points).unwrap(), "newest");
    }
}
