//! Which lines are cron lines, and what the others are told.

use super::*;

fn refusal(line: &str) -> String {
    Cron::parse(line).unwrap_err().to_string()
}

#[test]
fn a_line_keeps_its_spelling() {
    for line in ["0 2 * * *", "*/15 8-18/2 1,15 jan-MAR,dec Mon-FRI", "5 4 * * 7", "@daily", "0\t2  *  * *"] {
        assert_eq!(Cron::parse(line).unwrap().as_str(), line);
    }
    assert_eq!(Cron::parse("  0 2 * * * ").unwrap().to_string(), "0 2 * * *");
}

#[test]
fn lines_of_another_length_are_refused() {
    insta::assert_snapshot!(refusal(""), @r#"the cron line is empty: write five fields (minute, hour, day of month, month, day of week) such as "0 2 * * *""#);
    insta::assert_snapshot!(refusal("0 0 2 * * *"), @r#""0 0 2 * * *" has 6 fields where cron has five (minute, hour, day of month, month, day of week): leave the seconds (or the year) out"#);
    insta::assert_snapshot!(refusal("0 2 * *"), @r#""0 2 * *" has 4 fields where cron has five (minute, hour, day of month, month, day of week)"#);
    insta::assert_snapshot!(refusal("@daily-random"), @r#""@daily-random" is a time that k8up picks, so that nobody could say when it runs next, or whether backups are late: write five fields. A minute that differs from name to name is "${parseint(substr(md5(var.name), 0, 4), 16) % 60} 0 * * *""#);
    insta::assert_snapshot!(refusal("@every-random"), @r#""@every-random" is no macro of cron: known are @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually; or write five fields"#);
    insta::assert_snapshot!(refusal("CRON_TZ=UTC 0 2 * * *"), @r#""CRON_TZ=UTC 0 2 * * *" names a time zone, which only some crons read: give it as time_zone and leave only the five fields here"#);
}

#[test]
fn a_distance_is_refused_with_the_line_that_runs_as_often() {
    insta::assert_snapshot!(refusal("@every 6h"), @r#""@every 6h" counts from the last run, or from the start of the engine's server, so that nobody could say when it runs next: write five fields. As often, by the clock: "0 */6 * * *""#);
    insta::assert_snapshot!(refusal("@every 5h"), @r#""@every 5h" counts from the last run, or from the start of the engine's server, so that nobody could say when it runs next: write five fields, such as "0 */6 * * *""#);
    let runs_as_often = [
        ("15m", "*/15 * * * *"),
        ("1m0s", "* * * * *"),
        ("60m", "0 * * * *"),
        ("1h", "0 * * * *"),
        ("0h180m", "0 */3 * * *"),
        ("12h0m0s", "0 */12 * * *"),
        ("24h", "0 0 * * *"),
        ("168h", "0 0 * * 0"),
    ];
    for (distance, line) in runs_as_often {
        assert_eq!(every(distance).as_deref(), Some(line), "{distance}");
        assert!(Cron::parse(line).is_ok());
    }
    for distance in ["", "0s", "90s", "90m", "7m", "36h", "6", "h", "6d", "1.5h", "-6h", "99999999999999999999h", "6µs"]
    {
        assert_eq!(every(distance), None, "{distance}");
    }
}

#[test]
fn days_that_do_not_exist_are_refused() {
    insta::assert_snapshot!(refusal("0 2 32 * *"), @"day of month 32 does not exist: it goes from 1 to 31");
    insta::assert_snapshot!(refusal("0 2 0 * *"), @"day of month 0 does not exist: it goes from 1 to 31");
    insta::assert_snapshot!(refusal("0 24 * * *"), @"hour 24 does not exist: it goes from 0 to 23");
    insta::assert_snapshot!(refusal("0 2 * * 8"), @"day of week 8 does not exist: it goes from 0 to 7");
    insta::assert_snapshot!(refusal("0 2 * * MOO"), @r#""MOO" is no day of week: use a number or SUN, MON, TUE, WED, THU, FRI, SAT"#);
    insta::assert_snapshot!(refusal("0 2 1 FEBRUARY *"), @r#""FEBRUARY" is no month: use a number or JAN, FEB, MAR, APR, MAY, JUN, JUL, AUG, SEP, OCT, NOV, DEC"#);
}

#[test]
fn lines_that_never_run_are_refused() {
    insta::assert_snapshot!(refusal("30 2 31 2 *"), @r#""30 2 31 2 *" never runs: there is no day 31, as February has 29 days at most; pick a day that the month has"#);
    insta::assert_snapshot!(refusal("0 0 30 2 *"), @r#""0 0 30 2 *" never runs: there is no day 30, as February has 29 days at most; pick a day that the month has"#);
    insta::assert_snapshot!(refusal("0 0 31 4,jun *"), @r#""0 0 31 4,jun *" never runs: there is no day 31, as April has 30 days at most, June has 30 days at most; pick a day that the month has"#);
    for line in ["0 0 29 2 *", "0 0 31 2,3 *", "0 0 30,28 2 *", "0 0 31 2 MON"] {
        assert!(Cron::parse(line).is_ok(), "{line}");
    }
}

#[test]
fn fields_that_are_not_crons_are_refused() {
    insta::assert_snapshot!(refusal("5/10 * * * *"), @r#"minute "5/10" can't be read: a step needs a range or *: write 5-59 before the /"#);
    insta::assert_snapshot!(refusal("*/0 * * * *"), @r#"minute "*/0" can't be read: the step after / has to be a whole number of at least 1"#);
    insta::assert_snapshot!(refusal("0 22-6 * * *"), @r#"hour "22-6" can't be read: a range goes upwards: write 22-23,0-6"#);
    insta::assert_snapshot!(refusal("0 2 * * FRI-SUN"), @r#"day of week "FRI-SUN" can't be read: a range goes upwards: write 5-6,0"#);
    insta::assert_snapshot!(refusal("0 2 L * *"), @r#"day of month "L" can't be read: "L" is not a number, and what only some crons know (L, W, #, ?) can't be used"#);
    insta::assert_snapshot!(refusal("0 2 * * 5#2"), @r##"day of week "5#2" can't be read: "5#2" is not a number, and what only some crons know (L, W, #, ?) can't be used"##);
    insta::assert_snapshot!(refusal("0,,5 2 * * *"), @r#"minute "0,,5" can't be read: a number is missing"#);
    insta::assert_snapshot!(refusal("0,* 2 * * *"), @r#"minute "0,*" can't be read: a * stands alone, as it says everything already"#);
    for line in [
        "-5 2 * * *",
        "5- 2 * * *",
        "1-2-3 2 * * *",
        "* 2 * * */",
        "0 2 * * ?",
        "0 2 * * +1",
        "99999999999 2 * * *",
        "0 2 15W * *",
        "0 2 * ٣ *",
    ] {
        assert!(Cron::parse(line).is_err(), "{line}");
    }
}

#[test]
fn what_crons_read_differently_is_refused() {
    insta::assert_snapshot!(refusal("0 2 */2 * MON"), @r#"day of month "*/2" together with "MON" means "both" to some crons and "either" to others: write "1-31/2" for either, or give only one of day of month and day of week"#);
    insta::assert_snapshot!(refusal("0 2 1 * */2"), @r#"day of week "*/2" together with "1" means "both" to some crons and "either" to others: write "0-6/2" for either, or give only one of day of month and day of week"#);
    assert!(Cron::parse("0 2 */2 * *").is_ok());
}

#[test]
fn a_line_is_written_in_numbers_where_a_plain_parser_needs_it() {
    let numbers = |line| Cron::parse(line).unwrap().in_numbers();
    assert_eq!(numbers("*/15 8-18 1,15 * *"), "*/15 8-18 1,15 * *");
    assert_eq!(numbers("0 3 * * MON"), "0 3 * * 1");
    assert_eq!(numbers("0 3 * JAN-MAR 1,3-5"), "0 3 * 1,2,3 1,3,4,5");
    assert_eq!(numbers("0 8-18/5 * * 5-7"), "0 8,13,18 * * 0,5,6");
    assert_eq!(numbers("17 7 * * *"), "17 7 * * *");
    assert_eq!(numbers("@midnight"), "0 0 * * *");
}

#[test]
fn a_line_is_another_one_in_another_spelling() {
    let same = |one, other| Cron::parse(one).unwrap().runs_like(&Cron::parse(other).unwrap());
    assert!(same("17 3 * * MON-FRI", "17 3 * * 1-5"));
    assert!(same("0 0 * * *", "@daily"));
    assert!(same("*/30 8 1,15 * *", "0,30 8 1,15 * *"));
    assert!(!same("0 3 * * 1-5", "0 3 * * 1-6"));
    assert!(!same("0 3 1-31 * 1", "0 3 * * 1"));
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_line_or_refused(text in "([-*/,0-9A-Za-z#?@µ]{0,5} ?){0,6}") {
        let _ = Cron::parse(&text);
    }

    /// A line that is accepted runs, in this millennium.
    #[test]
    fn an_accepted_line_runs(text in "[0-9*]{1,2} [0-9*]{1,2} [0-9,]{1,4} [0-9,]{1,4} \\*") {
        if Cron::parse(&text).is_ok() {
            let runs = next_runs(&text, "2026-01-01T00:00:00Z", 1, "UTC").unwrap();
            proptest::prop_assert!(runs[0].as_str() < "2030");
        }
    }
}
