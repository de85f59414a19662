//! The function `retained`: which of some times an engine would keep.

use jiff::{Timestamp, tz::TimeZone};

use super::{Keep, KeepError, Point, TimeError, proxmox, restic};

/// Engines whose points are restic snapshots: each time counts in its own offset.
const RESTIC_FORMATS: [&str; 4] = ["restic", "k8up", "volsync", "backrest"];
/// Engines that count in the time zone of their server.
const PROXMOX: [&str; 2] = ["proxmox_ve", "proxmox_backup_server"];

/// An argument of [`retained`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// The engine's name.
    Engine,
    /// The policy.
    Keep,
    /// The times, and which of them.
    Times(usize),
    /// The time zone.
    TimeZone,
}

/// Why [`retained`] has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetainedError {
    /// No such engine, or none whose retention can be computed.
    #[error("{engine:?} is not an engine whose retention can be computed: known are {}", known_engines())]
    UnknownEngine {
        /// The name given.
        engine: String,
    },
    /// A policy that is no policy.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// A policy that the engine can't have.
    #[error(transparent)]
    Proxmox(#[from] proxmox::ProxmoxError),
    /// Not a time.
    #[error("{source}")]
    Time {
        /// Which of the times, counted from 0.
        index: usize,
        /// What is wrong with it.
        source: TimeError,
    },
    /// A time zone where none has a meaning.
    #[error("{engine} counts each time in its own offset, so a time zone would change nothing: pass null")]
    NeedlessTimeZone {
        /// The engine.
        engine: String,
    },
    /// A time zone is needed.
    #[error("{engine} counts days in the time zone of its server: pass the server's, such as \"Europe/Berlin\"")]
    MissingTimeZone {
        /// The engine.
        engine: String,
    },
    /// Not in the time zone database.
    #[error(
        "{time_zone:?} is not a time zone: use a name from the IANA database, such as \"Europe/Berlin\" or \"UTC\""
    )]
    UnknownTimeZone {
        /// The name given.
        time_zone: String,
    },
}

impl RetainedError {
    /// The argument at fault.
    pub fn argument(&self) -> Argument {
        match self {
            Self::UnknownEngine { .. } => Argument::Engine,
            Self::Keep(_) | Self::Proxmox(_) => Argument::Keep,
            Self::Time { index, .. } => Argument::Times(*index),
            Self::NeedlessTimeZone { .. } | Self::MissingTimeZone { .. } | Self::UnknownTimeZone { .. } => {
                Argument::TimeZone
            }
        }
    }
}

fn known_engines() -> String {
    RESTIC_FORMATS.iter().chain(&PROXMOX).copied().collect::<Vec<_>>().join(", ")
}

/// The times that `engine` would keep under the policy, in the order given and as they were written.
///
/// restic formats count each time in its own offset and take no time zone; Proxmox needs its server's. The answer
/// depends on the arguments alone: the newest time given is the newest, also when it lies in the future.
pub fn retained(
    engine: &str,
    keep: &Keep,
    times: &[&str],
    time_zone: Option<&str>,
) -> Result<Vec<String>, RetainedError> {
    let engine_name = || engine.to_owned();
    let restic_format = RESTIC_FORMATS.contains(&engine);
    if !restic_format && !PROXMOX.contains(&engine) {
        return Err(RetainedError::UnknownEngine { engine: engine_name() });
    }
    keep.validate()?;
    let points = parse(times)?;
    let kept = match (restic_format, time_zone) {
        (true, None) => restic::apply(&points, keep, Timestamp::MAX),
        (true, Some(_)) => return Err(RetainedError::NeedlessTimeZone { engine: engine_name() }),
        (false, None) => return Err(RetainedError::MissingTimeZone { engine: engine_name() }),
        (false, Some(name)) => {
            let time_zone =
                TimeZone::get(name).map_err(|_| RetainedError::UnknownTimeZone { time_zone: name.to_owned() })?;
            let times: Vec<Timestamp> = points.iter().map(|point| point.timestamp).collect();
            proxmox::apply(&times, keep, &time_zone)?
        }
    };
    Ok(times.iter().zip(kept).filter(|(_, kept)| *kept).map(|(time, _)| (*time).to_owned()).collect())
}

fn parse(times: &[&str]) -> Result<Vec<Point>, RetainedError> {
    let parse =
        |(index, text): (usize, &&str)| Point::parse(text).map_err(|source| RetainedError::Time { index, source });
    times.iter().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: [&str; 4] =
        ["2026-07-14T01:00:00+02:00", "2026-07-15T01:00:00+02:00", "2026-07-15T02:30:00+02:00", "2026-07-13T00:00:00Z"];

    fn keep_daily(days: u32) -> Keep {
        Keep { daily: Some(days), ..Keep::default() }
    }

    #[test]
    fn kept_times_come_in_the_order_given() {
        let kept = retained("k8up", &keep_daily(3), &TIMES, None).unwrap();
        assert_eq!(kept, [TIMES[0], TIMES[2], TIMES[3]]);
    }

    #[test]
    fn proxmox_counts_in_its_servers_time_zone() {
        // In UTC 01:00+02:00 on the 15th is still the 14th, and on the 14th still the 13th.
        let kept = retained("proxmox_ve", &keep_daily(3), &TIMES, Some("UTC")).unwrap();
        assert_eq!(kept, [TIMES[0], TIMES[1], TIMES[2]]);
    }

    #[test]
    fn each_refusal_names_its_argument() {
        let refusal = |engine, keep: &Keep, times: &[&str], zone| {
            let error = retained(engine, keep, times, zone).unwrap_err();
            format!("{:?}: {error}", error.argument())
        };
        let daily = keep_daily(1);
        let mut within = keep_daily(1);
        within.within = super::super::Within::parse("7d").ok();
        insta::assert_snapshot!(refusal("velero", &daily, &TIMES, None), @r#"Engine: "velero" is not an engine whose retention can be computed: known are restic, k8up, volsync, backrest, proxmox_ve, proxmox_backup_server"#);
        insta::assert_snapshot!(refusal("restic", &daily, &TIMES, Some("UTC")), @"TimeZone: restic counts each time in its own offset, so a time zone would change nothing: pass null");
        insta::assert_snapshot!(refusal("proxmox_ve", &daily, &TIMES, None), @r#"TimeZone: proxmox_ve counts days in the time zone of its server: pass the server's, such as "Europe/Berlin""#);
        insta::assert_snapshot!(refusal("proxmox_ve", &daily, &TIMES, Some("Mars/Olympus")), @r#"TimeZone: "Mars/Olympus" is not a time zone: use a name from the IANA database, such as "Europe/Berlin" or "UTC""#);
        insta::assert_snapshot!(refusal("proxmox_ve", &within, &TIMES, Some("UTC")), @r#"Keep: Proxmox counts points and knows no age, so keep_within = "7d" can't be expressed: use keep_daily, or keep_last with the number of backups in that time"#);
        insta::assert_snapshot!(refusal("restic", &daily, &["2026-07-15T00:00:00Z", "2026-07-15T00:00:00"], None), @r#"Times(1): "2026-07-15T00:00:00" has no zone, so it can mean any of 27 hours: add Z for UTC, or an offset such as +02:00"#);
        assert!(refusal("restic", &Keep::default(), &TIMES, None).starts_with("Keep: "));
    }

    #[test]
    fn the_answer_does_not_depend_on_the_day_it_is_asked() {
        let keep = Keep { within: super::super::Within::parse("1d").ok(), ..Keep::default() };
        let kept = retained("restic", &keep, &["9000-01-01T00:00:00Z", "2020-01-01T00:00:00Z"], None).unwrap();
        assert_eq!(kept, ["9000-01-01T00:00:00Z"]);
    }

    #[test]
    fn no_times_are_no_times() {
        assert!(retained("restic", &keep_daily(1), &[], None).unwrap().is_empty());
    }
}
