//! Real worker processes: this test program, told to be one.

use super::super::backup::PathBackup;
use super::super::locks;
use super::super::machine;
use super::super::notes::Pin;
use super::super::points::Phase;
use super::super::site::Site;
use super::super::source::BackupOptions;
use super::super::testing::{self, LOG_N, Lab};
use super::super::verify::{Depth, verify};
use super::super::writer::RestoreOptions;
use super::*;
use crate::engines::restic::error::EngineError;
use crate::engines::restic::forget::ForgetReport;
use crate::ledger::{JobKind, LedgerStore, PinnedPoint, Record};
use crate::retention::Keep;
use crate::run::{Backup, Journal};
use crate::secret::Secret;
use std::future::pending;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
#[ignore = "a worker process, which the tests below start"]
fn as_a_worker() {
    let code = worker_main();
    assert_eq!(format!("{code:?}"), format!("{:?}", std::process::ExitCode::SUCCESS));
}

fn worker() -> Worker {
    let this = std::env::current_exe().unwrap();
    Worker::at(this, ["--exact", "engines::restic::worker::tests::as_a_worker", "--ignored", "--nocapture"])
}

fn order(lab: &Lab, job: Job) -> Order {
    let lock = LockOrder::default();
    Order { location: Location::Local { path: lab.repo() }, password: lab.password.clone(), lock, expect: None, job }
}

fn run(lab: &Lab, order: &Order) -> (Result<Outcome, EngineError>, Vec<Event>) {
    let mut events = Vec::new();
    let result = lab.runtime.block_on(worker().run(order, &mut |event| events.push(event.clone()), pending::<()>()));
    (result, events)
}

fn backup(lab: &Lab) -> Job {
    let options = BackupOptions { paths: vec![lab.data()], host: Some("nas".into()), ..BackupOptions::default() };
    Job::Backup { options }
}

fn keep_last() -> Job {
    Job::Forget { keep: Some(Keep { last: Some(1), ..Keep::default() }), pinned: Vec::new() }
}

#[test]
fn a_repository_is_made_filled_listed_pruned_and_checked_by_workers() {
    let lab = Lab::new();
    std::fs::write(lab.data().join("file"), "content").unwrap();
    let init = order(&lab, Job::Init { log_n: LOG_N, adopt: true });
    let Ok(Outcome::Init { id, made: true }) = run(&lab, &init).0 else { panic!() };
    assert_eq!(run(&lab, &init).0, Ok(Outcome::Init { id: id.clone(), made: false }));
    assert_eq!(run(&lab, &order(&lab, Job::Check)).0, Ok(Outcome::Check { id }));

    let (stored, events) = run(&lab, &order(&lab, backup(&lab)));
    let Ok(Outcome::Backup(stored)) = stored else { panic!("{stored:?}") };
    assert_eq!((stored.files, stored.bytes_processed), (1, 7));
    let forgot = |lab: &Lab| match run(lab, &order(lab, keep_last())).0 {
        Ok(Outcome::Forget(report)) => report,
        other => panic!("{other:?}"),
    };
    assert_eq!(forgot(&lab).kept, 1);
    assert!(events.contains(&Event::Opened) && events.iter().any(|event| matches!(event, Event::Locked(_))));

    let (second, _) = run(&lab, &order(&lab, backup(&lab)));
    let Ok(Outcome::Backup(second)) = second else { panic!("{second:?}") };
    assert_eq!(forgot(&lab).removed, [stored.snapshot]);
    let Ok(Outcome::Points(points)) = run(&lab, &order(&lab, Job::Points)).0 else { panic!() };
    assert_eq!((points.len(), &points[0].id, points[0].phase), (1, &second.snapshot, Phase::Complete));
    let (whole, events) = run(&lab, &order(&lab, Job::Verify { depth: Depth::Data, point: None }));
    assert!(matches!(&whole, Ok(Outcome::Verify(report)) if report.points == 1), "{whole:?}");
    let read_all = |event: &Event| matches!(event, Event::Progress { bytes, total_bytes, .. } if *bytes > 0 && bytes == total_bytes);
    assert!(events.iter().any(read_all), "{events:?}");

    let to = lab.folder.path().join("restored");
    let options = RestoreOptions {
        snapshot: points[0].id.clone(),
        path: lab.data(),
        to: to.clone(),
        ..RestoreOptions::default()
    };
    let (restored, events) = run(&lab, &order(&lab, Job::Restore { options }));
    let Ok(Outcome::Restore(report)) = restored else { panic!("{restored:?}") };
    assert_eq!((report.files, report.bytes), (1, 7));
    assert_eq!(std::fs::read_to_string(to.join("file")).unwrap(), "content");
    assert!(events.iter().any(|event| matches!(event, Event::Progress { bytes: 7, .. })), "{events:?}");
    assert!(lab.files("locks/").is_empty());
    lab.restic_ok(&["check", "--read-data"]);
}

/// Says that it is opened a while after it began, and is done only when as many others are opened as there are.
const SLOW: &str = r#"
read order; cd "$0"
mkdir deriving || touch together
sleep 0.2
rmdir deriving
touch "opened.$$"
echo "$1"
while [ "$(ls -d opened.* | wc -l)" -lt 3 ]; do sleep 0.02; done
echo "$2"
"#;

#[test]
fn m26_one_key_is_derived_at_a_time_and_what_is_opened_goes_on_side_by_side() {
    let lab = Lab::new();
    let place = lab.folder.path().join("slow");
    std::fs::create_dir(&place).unwrap();
    let line = |event: &Event| serde_json::to_string(event).unwrap();
    let done = Outcome::Check { id: "1".into() };
    let says = [line(&Event::Opened), line(&Event::Done(done.clone()))];
    let words = ["-c".to_owned(), SLOW.to_owned(), place.display().to_string()].into_iter().chain(says);
    let worker = Worker::at("/bin/sh", words);
    let order = order(&lab, Job::Check);
    let run = async || worker.clone().run(&order, &mut |_| {}, pending::<()>()).await;
    let all = async { tokio::join!(run(), run(), run()) };
    let (first, second, third) =
        lab.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), all).await }).unwrap();
    assert_eq!([first, second, third], [Ok(done.clone()), Ok(done.clone()), Ok(done)]);
    assert!(!place.join("together").exists(), "two keys were derived at once");
}

fn restore(lab: &Lab, point: &str, to: &std::path::Path) -> Job {
    let options =
        RestoreOptions { snapshot: point.into(), path: lab.data(), to: to.into(), ..RestoreOptions::default() };
    Job::Restore { options }
}

#[test]
fn a_restore_says_that_it_writes_before_it_does_and_not_when_it_does_not() {
    let lab = Lab::with_repository();
    std::fs::write(lab.data().join("file"), "content").unwrap();
    let point = lab.backup(BackupOptions::default()).snapshot;
    let to = lab.folder.path().join("restored");
    let nowhere = run(&lab, &order(&lab, restore(&lab, &point, &lab.folder.path().join("nowhere/restored"))));
    assert!(matches!(nowhere.0, Err(EngineError::Destination { .. })), "{:?}", nowhere.0);
    let unknown = run(&lab, &order(&lab, restore(&lab, &"0".repeat(64), &to)));
    assert!(unknown.0.is_err());
    std::fs::write(&to, "a file in its place").unwrap();
    let in_the_way = run(&lab, &order(&lab, restore(&lab, &point, &to)));
    assert!(matches!(in_the_way.0, Err(EngineError::Destination { .. })), "{:?}", in_the_way.0);
    for events in [nowhere.1, unknown.1, in_the_way.1] {
        assert!(!events.contains(&Event::Writing), "{events:?}");
    }
    std::fs::remove_file(&to).unwrap();
    let (restored, events) = run(&lab, &order(&lab, restore(&lab, &point, &to)));
    assert!(restored.is_ok() && events.contains(&Event::Writing), "{restored:?} {events:?}");
}

/// Breaks a file: flips a bit of it, or leaves half of it.
fn broken(path: &std::path::Path, flip: bool) -> Vec<u8> {
    let good = std::fs::read(path).unwrap();
    let mut bad = good.clone();
    match flip {
        true => bad[good.len() / 2] ^= 4,
        false => bad.truncate(good.len() / 2),
    }
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bad).unwrap();
    good
}

#[test]
fn what_a_damaged_index_names_is_read_from_the_packs_and_the_file_is_named() {
    let lab = Lab::with_repository();
    std::fs::write(lab.data().join("file"), "content").unwrap();
    let point = lab.backup(BackupOptions::default()).snapshot;
    let index = lab.files("index/").remove(0);
    let name = format!("index/{}", index.file_name().unwrap().to_string_lossy());
    for flip in [false, true] {
        let good = broken(&index, flip);
        let to = lab.folder.path().join(format!("restored-{flip}"));
        let (restored, _) = run(&lab, &order(&lab, restore(&lab, &point, &to)));
        let Ok(Outcome::Restore(report)) = restored else { panic!("{restored:?}") };
        let named = |text: &String| text.contains(&name) && text.contains("restic repair index");
        assert!(report.warnings.iter().any(named), "{:?}", report.warnings);
        assert_eq!(std::fs::read_to_string(to.join("file")).unwrap(), "content");
        let (stored, _) = run(&lab, &order(&lab, backup(&lab)));
        assert!(matches!(&stored, Err(EngineError::Damaged { what, .. }) if what.iter().all(named)), "{stored:?}");
        std::fs::write(&index, good).unwrap();
    }
}

#[test]
fn with_a_damaged_pack_beside_it_what_the_rest_of_the_index_names_comes_back() {
    let lab = Lab::with_repository();
    std::fs::write(lab.data().join("file"), "content").unwrap();
    lab.backup(BackupOptions::default());
    let (indexes, packs) = (lab.files("index/"), lab.files("data/"));
    std::fs::write(lab.data().join("later"), "more").unwrap();
    let point = lab.backup(BackupOptions::default()).snapshot;
    for path in &indexes {
        broken(path, true);
    }
    for path in &packs {
        broken(path, false);
    }
    let to = lab.folder.path().join("restored");
    let (restored, _) = run(&lab, &order(&lab, restore(&lab, &point, &to)));
    let Err(EngineError::NotRestored { names, .. }) = restored else { panic!("{restored:?}") };
    assert!(names[0].starts_with("`index/"), "{names:?}");
    assert!(names[1..].iter().any(|name| name.contains("restored/file")), "{names:?}");
    assert_eq!(std::fs::read_to_string(to.join("later")).unwrap(), "more");
    assert!(!to.join("file").exists());
}

#[test]
fn an_error_comes_back_as_it_was() {
    let lab = Lab::with_repository();
    let mut wrong = order(&lab, Job::Check);
    wrong.password = Secret::new("wrong");
    assert!(matches!(run(&lab, &wrong).0, Err(EngineError::WrongPassword { keys: 1, .. })));
    let mut read_only = order(&lab, backup(&lab));
    read_only.lock.none = true;
    assert!(matches!(run(&lab, &read_only).0, Err(EngineError::ReadOnly { .. })));
    let nowhere = Order { location: Location::Local { path: "/nowhere/at/all".into() }, ..order(&lab, Job::Points) };
    let Err(EngineError::Storage { message, .. }) = run(&lab, &nowhere).0 else { panic!() };
    assert_eq!(message, "/nowhere/at does not exist");
}

#[test]
fn retention_that_finds_the_repository_in_use_is_a_warning() {
    let lab = Lab::with_repository();
    std::fs::write(lab.data().join("file"), "content").unwrap();
    (0..2).for_each(|_| drop(lab.backup(BackupOptions::default())));
    let opened = lab.open().unwrap();
    let request = locks::Request {
        mode: locks::Mode::Shared,
        wait: Duration::ZERO,
        dead: Vec::new(),
        run: None,
        dead_runs: Vec::new(),
    };
    let _lock = locks::acquire(&lab.store, &opened.key, &request, Arc::new(|_| {}), lab.handle()).unwrap();
    let (forgot, events) = run(&lab, &order(&lab, keep_last()));
    let Ok(Outcome::Forget(ForgetReport { warnings, .. })) = forgot else { panic!("{forgot:?}") };
    assert!(warnings[0].contains("is locked for reading and writing by"), "{warnings:?}");
    assert!(events.contains(&Event::Warning(warnings[0].clone())));
}

/// A worker that waits for somebody else's lock, and whether it is alive.
fn waiting(lab: &Lab) -> (Order, locks::RepositoryLock) {
    let opened = lab.open().unwrap();
    let request = locks::Request {
        mode: locks::Mode::Exclusive,
        wait: Duration::ZERO,
        dead: Vec::new(),
        run: None,
        dead_runs: Vec::new(),
    };
    let lock = locks::acquire(&lab.store, &opened.key, &request, Arc::new(|_| {}), lab.handle()).unwrap();
    let mut order = order(lab, Job::Verify { depth: Depth::Structure, point: None });
    order.lock.wait_seconds = 600;
    (order, lock)
}

#[test]
fn another_repository_in_its_place_is_not_verified() {
    let lab = Lab::with_repository();
    let mut order = order(&lab, Job::Verify { depth: Depth::Structure, point: None });
    order.expect = Some("another".to_owned());
    assert!(matches!(run(&lab, &order).0, Err(EngineError::AnotherRepository { .. })));
}

#[test]
fn a_cancelled_worker_ends_within_two_seconds() {
    let lab = Lab::with_repository();
    let (order, _lock) = waiting(&lab);
    let started = Instant::now();
    let cancel = async { tokio::time::sleep(Duration::from_secs(1)).await };
    let result = lab.runtime.block_on(worker().run(&order, &mut |_| {}, cancel));
    assert_eq!(result, Err(EngineError::Cancelled));
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

/// A worker without the client, its input and its output.
fn raw(order: &Order) -> (std::process::Child, std::process::ChildStdin, std::process::ChildStdout) {
    let mut line = serde_json::to_vec(order).unwrap();
    line.push(b'\n');
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "engines::restic::worker::tests::as_a_worker", "--ignored", "--nocapture"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&line).unwrap();
    let output = child.stdout.take().unwrap();
    (child, input, output)
}

#[test]
fn what_a_killed_worker_left_stops_nobody_and_the_next_one_finishes() {
    let lab = Lab::with_repository();
    for n in 0..20 {
        let content: Vec<u8> = (0..1_000_000).map(|_| rand::random()).collect();
        std::fs::write(lab.data().join(format!("file{n}")), content).unwrap();
    }
    let order = order(&lab, backup(&lab));
    let (mut child, _input, output) = raw(&order);
    let locked = std::io::BufReader::new(output).lines().map_while(Result::ok).find(|line| line.contains("\"locked\""));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(locked.is_some());
    assert_eq!(lab.files("locks/").len(), 1, "it was killed while it held its lock");
    assert!(lab.files("snapshots/").is_empty());
    let stored = run(&lab, &order).0;
    assert!(matches!(&stored, Ok(Outcome::Backup(stored)) if stored.files == 20), "{stored:?}");
    assert!(lab.files("locks/").is_empty(), "the dead lock is gone");
    lab.restic_ok(&["check"]);
    lab.restic_ok(&["prune"]);
}

/// SIGKILL some time after a worker took its lock, unless it comes to its end before that.
fn killed_after_its_lock(lab: &Lab, order: &Order, wait: Duration) -> bool {
    let (mut child, _input, output) = raw(order);
    let lines = std::io::BufReader::new(output).lines().map_while(Result::ok);
    let mut locked = lines.filter(|line| line.contains("\"locked\""));
    assert!(locked.next().is_some(), "it took no lock: {:?}", lab.files("locks/"));
    std::thread::sleep(wait);
    let ended = child.try_wait().unwrap().is_some();
    child.kill().unwrap();
    child.wait().unwrap();
    !ended
}

#[test]
fn a_backup_whose_retention_is_killed_anywhere_leaves_a_sound_repository() {
    let lab = Lab::with_repository();
    let (storing, forgetting) = (order(&lab, backup(&lab)), order(&lab, keep_last()));
    let new = |n: u64| {
        let content: Vec<u8> = (0..300_000).map(|_| rand::random()).collect();
        std::fs::write(lab.data().join(format!("file{}", n % 4)), content).unwrap();
    };
    (0..4).for_each(new);
    assert!(run(&lab, &storing).0.is_ok());
    let mut killed = [0, 0];
    for n in 0..40 {
        new(n);
        let forgets = n % 4 != 0;
        if forgets {
            assert!(run(&lab, &storing).0.is_ok());
        }
        // What only stores is over sooner.
        let (order, wait) = if forgets { (&forgetting, n / 2 * 4) } else { (&storing, n / 4) };
        killed[usize::from(forgets)] += u32::from(killed_after_its_lock(&lab, order, Duration::from_millis(wait)));
        // Every point that is there is whole, however far it came; the next one would take a broken one away.
        let whole = verify(&lab.open().unwrap(), Depth::Structure, None, lab.handle());
        assert!(whole.is_ok(), "round {n}: {whole:?}");
        if n % 5 == 4 {
            lab.restic_ok(&["check", "--no-lock", "--read-data"]);
        }
    }
    assert!(killed[0] > 3 && killed[1] > 3, "it was over before it could be killed: {killed:?}");
    assert!(run(&lab, &storing).0.is_ok());
    let forgot = run(&lab, &forgetting).0;
    assert!(matches!(&forgot, Ok(Outcome::Forget(report)) if report.kept == 1), "{forgot:?}");
    let check = lab.restic_ok(&["check", "--read-data"]);
    assert!(check.contains("no errors were found") && !check.contains("additional"), "{check}");
    let to = lab.folder.path().join("restored");
    let restored = ["restore", "latest", "--target", to.to_str().unwrap()];
    lab.restic_ok(&restored);
    for entry in std::fs::read_dir(lab.data()).unwrap() {
        let path = entry.unwrap().path();
        let there = to.join(path.strip_prefix("/").unwrap());
        assert!(std::fs::read(&path).unwrap() == std::fs::read(there).unwrap(), "{path:?}");
    }
}

/// The repository as resources see it.
fn site(lab: &Lab, lock_wait: u64) -> Site {
    let password = lab.password.clone().into();
    Site { password, lock_wait: Duration::from_secs(lock_wait), worker: worker(), ..testing::site(lab.repo()) }
}

/// A lock that is there for ever, of a run that is known by `mark`.
fn left_by(lab: &Lab, mark: Option<&str>, mode: locks::Mode) {
    let opened = lab.open().unwrap();
    let (run, dead) = (mark.map(str::to_owned), Vec::new());
    let request = locks::Request { mode, wait: Duration::ZERO, dead, run, dead_runs: Vec::new() };
    std::mem::forget(locks::acquire(&lab.store, &opened.key, &request, Arc::new(|_| {}), lab.handle()).unwrap());
}

/// A record of the repository's ledger.
fn record(key: u64, mark: Option<&str>) -> Record {
    let mark = mark.map(str::to_owned);
    Record { mark, ..Record::new(JobKind::Backup, &format!("{key:016x}"), "docs", "restic", "repository") }
}

#[test]
fn the_lock_of_another_run_that_is_proved_dead_stops_nobody() {
    let lab = Lab::with_repository();
    std::fs::write(lab.data().join("file"), "content").unwrap();
    (0..2).for_each(|_| drop(lab.backup(BackupOptions::default())));
    let work = [
        // It waits for the lock, and hears meanwhile that nobody holds it.
        ("one", locks::Mode::Shared, 300, keep_last()),
        // It would not wait for so long.
        ("two", locks::Mode::Exclusive, 0, backup(&lab)),
    ];
    for (key, (mark, mode, lock_wait, job)) in (1..).zip(work) {
        let (site, started) = (site(&lab, lock_wait), Instant::now());
        left_by(&lab, Some(mark), mode);
        lab.runtime.block_on(async {
            let ledger = site.ledger().unwrap();
            let dead = ledger.acquire(&record(key, Some(mark))).await.unwrap();
            dead.lease.write(&record(key, Some(mark))).await.unwrap();
            dead.lease.release().await;
            let journal = Journal::of(&ledger, record(100 + key, None)).await;
            match site.order_with(job, &journal).await.unwrap() {
                Outcome::Forget(report) => assert_eq!(report.warnings, [""; 0]),
                Outcome::Backup(stored) => assert_eq!(stored.files, 1),
                other => panic!("{other:?}"),
            }
            let buried = ledger.read(&record(key, None).key).await.unwrap().unwrap();
            assert_eq!((buried.mark, buried.dead_marks), (None, vec![mark.to_owned()]));
        });
        assert!(lab.files("locks/").is_empty() && started.elapsed() < Duration::from_secs(60));
    }
}

#[test]
fn the_lock_that_an_older_program_noted_in_the_record_goes_with_the_next_attempt() {
    let lab = Lab::with_repository();
    std::fs::write(lab.data().join("file"), "content").unwrap();
    left_by(&lab, None, locks::Mode::Exclusive);
    let id = lab.files("locks/")[0].file_name().unwrap().to_string_lossy().into_owned();
    let site = site(&lab, 0);
    lab.runtime.block_on(async {
        let ledger = site.ledger().unwrap();
        let journal = Journal::of(&ledger, record(1, None)).await;
        let refused = site.order_with(backup(&lab), &journal).await;
        assert!(refused.is_err(), "nobody noted it: {refused:?}");
        drop(journal);
        let noted = Record { lock_ids: vec![id], ..record(2, None) };
        let journal = Journal::of(&ledger, noted).await;
        assert!(matches!(site.order_with(backup(&lab), &journal).await, Ok(Outcome::Backup(_))));
    });
    assert!(lab.files("locks/").is_empty());
}

#[test]
fn a_lock_of_a_run_of_which_nothing_is_known_stays() {
    let lab = Lab::with_repository();
    left_by(&lab, Some("nobody knows"), locks::Mode::Exclusive);
    let site = site(&lab, 0);
    let refused = lab.runtime.block_on(site.order(Job::Erase));
    assert!(matches!(refused, Err(EngineError::Locked { .. })), "{refused:?}");
    assert_eq!(lab.files("locks/").len(), 1);
    // Unless who took its debts over says so.
    lab.runtime.block_on(async {
        let journal = Journal::of(&site.ledger().unwrap(), record(1, None)).await;
        journal.others_are_dead(vec!["nobody knows".to_owned()]);
        site.order_with(Job::Verify { depth: Depth::Structure, point: None }, &journal).await.unwrap();
    });
    assert!(lab.files("locks/").is_empty());
}

#[test]
fn a_backup_without_a_policy_frees_what_one_before_owes() {
    let lab = Lab::with_repository();
    std::fs::write(lab.data().join("file"), "content").unwrap();
    lab.backup(BackupOptions::default());
    let (site, options) = (site(&lab, 0), BackupOptions::default());
    lab.runtime.block_on(async {
        let (ledger, notes) = (site.ledger().unwrap(), site.notes().unwrap());
        let journal = Journal::of(&ledger, record(1, None)).await;
        let backup = PathBackup { site, options };
        notes.owe_prune().await.unwrap();
        assert_eq!(backup.retain(&[], &journal).await.unwrap(), [""; 0]);
        assert!(!notes.is_prune_owed().await.unwrap());
    });
    assert_eq!(lab.files("snapshots/").len(), 1);
}

#[test]
fn what_a_restore_needs_is_not_erased() {
    let lab = Lab::with_repository();
    let site = site(&lab, 0);
    lab.runtime.block_on(async {
        let point = PinnedPoint { id: "1".repeat(64), time: "2025-10-04T10:00:00Z".parse().unwrap(), bytes: None };
        let pin = Pin::new("0123456789abcdef", "/mnt/audit", vec![point]);
        site.notes().unwrap().pin("mark", &pin).await.unwrap();
        for error in [site.order(Job::Erase).await.unwrap_err(), site.erase().await.unwrap_err()] {
            let said = format!("{error}. {}", error.hint().unwrap());
            let who = format!(
                "the restore to /mnt/audit on {} (run 0123456789abcdef, noted in pins/mark.json in",
                machine::host()
            );
            assert!(said.contains(&who) && said.contains("remove its file"), "{said}");
        }
        assert!(lab.repo().join("config").exists());
        site.notes().unwrap().unpin(&["mark"]).await.unwrap();
        site.erase().await.unwrap();
    });
    assert!(!lab.repo().exists());
}

#[test]
fn a_worker_ends_and_takes_its_lock_away_when_its_input_closes() {
    let lab = Lab::with_repository();
    // A lock of somebody else keeps it waiting, so that it is alive when its input closes.
    let (order, held) = waiting(&lab);
    let (mut child, input, _output) = raw(&order);
    std::thread::sleep(Duration::from_secs(1));
    assert!(child.try_wait().unwrap().is_none(), "it waits for the lock");
    drop(input);
    let deadline = Instant::now() + Duration::from_secs(3);
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "it has to end with its input");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(held);
    assert!(lab.files("locks/").is_empty());
}

#[test]
fn what_lets_go_of_its_lock_changes_nothing_afterwards() {
    let lab = Lab::new();
    let holding = super::job::Holding::default();
    let store = holding.work_on(lab.store.clone());
    lab.runtime.block_on(async {
        store.put_bytes("locks/ours", "1".into()).await.unwrap();
        store.put_bytes("data/pack", "1".into()).await.unwrap();
        holding.set("ours");
        holding.let_go().await;
        for late in [store.delete("data/pack"), store.put_bytes("snapshots/late", "1".into())] {
            assert!(tokio::time::timeout(Duration::from_millis(50), late).await.is_err());
        }
    });
    assert_eq!(lab.files(""), [lab.repo().join("data/pack")]);
}

#[test]
fn a_worker_that_dies_or_does_not_start_is_an_error_with_its_last_words_and_without_secrets() {
    let lab = Lab::with_repository();
    let order = order(&lab, Job::Check);
    let run = |worker: Worker| lab.runtime.block_on(worker.run(&order, &mut |_| {}, pending::<()>()));
    let missing = run(Worker::at("/nowhere", ["worker"]));
    assert!(matches!(missing, Err(EngineError::Worker { reason, .. }) if reason.starts_with("could not be started")));
    let dying = Worker::at("/bin/sh", ["-c", "read line; echo the password is correct >&2; kill -9 $$"]);
    let Err(EngineError::Worker { reason, log }) = run(dying) else { panic!() };
    assert!(reason.starts_with("ended without a result (signal: 9"), "{reason}");
    assert_eq!(log, ["the password is (sensitive)"]);
}

#[test]
fn what_a_worker_prints_comes_into_our_own_log_without_secrets() {
    let lab = Lab::with_repository();
    let order = order(&lab, Job::Check);
    let heard = Heard::default();
    let _guard = tracing::subscriber::set_default(heard.clone());
    let talking = Worker::at("/bin/sh", ["-c", "read line; echo the password is correct, says rustic >&2"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(runtime.block_on(talking.run(&order, &mut |_| {}, pending::<()>())).is_err());
    let heard = heard.0.lock().unwrap().join("\n");
    assert!(heard.contains("DEBUG") && heard.contains("the password is (sensitive), says rustic"), "{heard}");
    assert!(!heard.contains("correct"), "{heard}");
}

/// Keeps what is logged on this thread.
#[derive(Clone, Default)]
struct Heard(Arc<std::sync::Mutex<Vec<String>>>);

impl tracing::Subscriber for Heard {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = event.metadata().level().to_string();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            line.push_str(&format!(" {field}={value:?}"));
        });
        self.0.lock().unwrap().push(line);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_repository_on_a_real_s3_server_is_served_by_workers_too() {
    let minio = crate::store::testing::Minio::start();
    let lab = Lab::new();
    std::fs::write(lab.data().join("file"), "content").unwrap();
    let location = Location::S3 { connection: minio.connection(), bucket: "bucket".into(), prefix: "p".into() };
    let order = |job| Order { location: location.clone(), ..order(&lab, job) };
    assert!(run(&lab, &order(Job::Init { log_n: LOG_N, adopt: false })).0.is_ok());
    for _ in 0..2 {
        let stored = run(&lab, &order(backup(&lab))).0;
        assert!(matches!(stored, Ok(Outcome::Backup(_))), "{stored:?}");
        let forgot = run(&lab, &order(keep_last())).0;
        assert!(matches!(forgot, Ok(Outcome::Forget(_))), "{forgot:?}");
    }
    let Ok(Outcome::Points(points)) = run(&lab, &order(Job::Points)).0 else { panic!() };
    assert_eq!(points.len(), 1);
}
