//! Locks of ours and of the real restic, against each other.

use super::*;
use crate::engines::restic::forget::forget;
use crate::engines::restic::machine;
use crate::engines::restic::notes::Notes;
use crate::engines::restic::progress::Silent;
use crate::engines::restic::source::BackupOptions;
use crate::engines::restic::testing::Lab;
use crate::store::local::LocalStore;
use std::io::{BufRead, Write};

fn request(mode: Mode) -> Request {
    Request { mode, wait: Duration::ZERO, dead: Vec::new(), run: None, dead_runs: Vec::new() }
}

fn lock(lab: &Lab, request: &Request) -> Result<RepositoryLock, EngineError> {
    let opened = lab.open().unwrap();
    acquire(&lab.store, &opened.key, request, Arc::new(|_| {}), lab.handle())
}

/// A lock that another program wrote some minutes ago.
fn foreign(lab: &Lab, host: &str, pid: u32, minutes: i64, exclusive: bool) -> String {
    let time = clock::now() - jiff::SignedDuration::from_mins(minutes);
    let (hostname, username) = (host.to_owned(), "ada".to_owned());
    let (process_space, run) = (None, None);
    write(lab, &LockFile { time, exclusive, hostname, username, pid, uid: 0, gid: 0, process_space, run })
}

fn write(lab: &Lab, lock: &LockFile) -> String {
    lab.runtime.block_on(file::write_file(lab.store.as_ref(), &lab.open().unwrap().key, lock)).unwrap()
}

/// The id of a process that has ended.
fn ended() -> u32 {
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    pid
}

/// A lock of a provider's worker that has ended, as it would be on this machine.
fn left(process_space: Option<String>, run: Option<&str>) -> LockFile {
    LockFile {
        time: clock::now(),
        exclusive: true,
        hostname: machine::host(),
        username: "ada".to_owned(),
        pid: ended(),
        uid: 0,
        gid: 0,
        process_space,
        run: run.map(str::to_owned),
    }
}

#[test]
fn an_exclusive_lock_stops_everyone_and_a_shared_one_only_who_wants_it_alone() {
    let lab = Lab::with_repository();
    std::fs::write(lab.data().join("file"), "content").unwrap();
    let data = lab.data();
    let backup = ["backup", data.to_str().unwrap()];
    {
        let held = lock(&lab, &request(Mode::Exclusive)).unwrap();
        assert_eq!(lab.files("locks/").len(), 1);
        let refused = lock(&lab, &request(Mode::Shared)).err().unwrap();
        let EngineError::Locked { holder, .. } = &refused else { panic!("{refused}") };
        assert_eq!((holder.pid, holder.id.clone()), (std::process::id(), held.id()));
        assert!(!lab.restic(&backup).status.success(), "the real restic has to stop");
    }
    assert_eq!(lab.files("locks/").len(), 0, "a dropped lock is gone");
    let shared = lock(&lab, &request(Mode::Shared)).unwrap();
    drop(lock(&lab, &request(Mode::Shared)).unwrap());
    assert!(matches!(lock(&lab, &request(Mode::Exclusive)), Err(EngineError::Locked { .. })));
    lab.restic_ok(&backup);
    assert!(!lab.restic(&["prune"]).status.success(), "the real prune has to stop");
    drop(shared);
    lab.restic_ok(&["prune"]);
}

#[test]
fn a_lock_of_the_real_restic_stops_us() {
    let lab = Lab::with_repository();
    // A backup that reads from a pipe holds its lock until the pipe ends.
    let mut command = lab.restic_command(&["backup", "--stdin"]);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    let mut restic = command.spawn().unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while lab.files("locks/").is_empty() {
        assert!(std::time::Instant::now() < deadline, "restic took no lock");
        std::thread::sleep(Duration::from_millis(50));
    }
    let refused = lock(&lab, &request(Mode::Exclusive)).err().unwrap();
    let EngineError::Locked { holder, .. } = &refused else { panic!("{refused}") };
    assert_eq!(holder.pid, restic.id());
    drop(lock(&lab, &request(Mode::Shared)).unwrap());
    restic.stdin.take().unwrap().write_all(b"content").unwrap();
    assert!(restic.wait().unwrap().success());
    drop(lock(&lab, &request(Mode::Exclusive)).unwrap());
}

#[test]
fn a_lock_goes_only_where_it_is_proved_that_its_holder_is_dead() {
    let lab = Lab::with_repository();
    let own = Request { run: Some("our run".to_owned()), ..request(Mode::Exclusive) };
    // What its record names, what its own mark says, and what ended where we can see it.
    let dead = vec![foreign(&lab, "elsewhere", 2, 1, true)];
    write(&lab, &left(None, Some("our run")));
    write(&lab, &left(machine::process_space(), Some("the run of another machine")));
    write(&lab, &left(None, Some("a buried run")));
    let dead_runs = vec!["a buried run".to_owned()];
    drop(lock(&lab, &Request { dead, dead_runs, ..own.clone() }).unwrap());
    assert_eq!(lab.files("locks/").len(), 0);
    // A container sees other processes, also where it has this machine's name.
    let other_space = Some("another boot pid:[4026531836]".to_owned());
    let elsewhere = [left(None, None), left(None, Some("another run")), left(other_space, None)];
    for lock_file in elsewhere {
        let id = write(&lab, &lock_file);
        for mode in [Mode::Exclusive, Mode::Shared] {
            let refused = lock(&lab, &Request { mode, ..own.clone() }).err().unwrap();
            let EngineError::Locked { holder, .. } = &refused else { panic!("{refused}") };
            assert_eq!((&holder.id, holder.pid, holder.not_here), (&id, lock_file.pid, true));
            assert!(refused.hint().unwrap().contains("`restic unlock` removes its lock"), "{:?}", refused.hint());
        }
        drop(lock(&lab, &Request { mode: Mode::Reading, ..own.clone() }).unwrap());
        assert_eq!(lab.files("locks/").len(), 1, "nothing is removed on suspicion");
        lab.restic_ok(&["unlock"]);
        drop(lock(&lab, &own).unwrap());
    }
}

#[test]
fn what_another_clock_says_of_a_lock_is_no_proof() {
    let lab = Lab::with_repository();
    foreign(&lab, "elsewhere", 3, 31, true);
    assert!(matches!(lock(&lab, &request(Mode::Shared)), Err(EngineError::Locked { .. })));
    drop(lock(&lab, &request(Mode::Reading)).unwrap());
    lab.restic_ok(&["unlock"]);
    foreign(&lab, "elsewhere", 3, 29, true);
    assert!(matches!(lock(&lab, &request(Mode::Reading)), Err(EngineError::Locked { .. })));
    lab.restic_ok(&["unlock", "--remove-all"]);
    for (minutes, said) in
        [(31, "(31 minutes ago)"), (29, "(29 minutes ago)"), (-31, "(by a clock that is ahead of this one)")]
    {
        foreign(&lab, "elsewhere", 3, minutes, false);
        drop(lock(&lab, &request(Mode::Shared)).unwrap());
        let refused = lock(&lab, &request(Mode::Exclusive)).err().unwrap();
        assert!(refused.to_string().contains("by ada on elsewhere, process 3,"), "{refused}");
        assert!(refused.to_string().ends_with(said), "{refused}");
        assert!(refused.hint().unwrap().contains("`restic unlock`"), "{:?}", refused.hint());
        lab.restic_ok(&["unlock", "--remove-all"]);
    }
}

#[test]
fn a_lock_that_goes_away_is_waited_for() {
    let lab = Lab::with_repository();
    let held = lock(&lab, &request(Mode::Exclusive)).unwrap();
    std::thread::scope(|scope| {
        let waiting =
            scope.spawn(|| lock(&lab, &Request { wait: Duration::from_secs(20), ..request(Mode::Shared) }).map(drop));
        std::thread::sleep(Duration::from_millis(500));
        assert!(!waiting.is_finished());
        drop(held);
        waiting.join().unwrap().unwrap();
    });
}

#[test]
fn a_damaged_lock_is_named() {
    let lab = Lab::with_repository();
    std::fs::create_dir_all(lab.repo().join("locks")).unwrap();
    std::fs::write(lab.repo().join("locks").join("0".repeat(64)), "").unwrap();
    let refused = lock(&lab, &request(Mode::Shared)).err().unwrap();
    assert!(refused.to_string().contains("restic unlock --remove-all"), "{refused}");
}

/// Ten minutes in a second; the clock is set for a whole process, so this runs in one of its own.
const SPEED: &str = "600";

/// A lock, and what is heard of it.
fn heard(lab: &Lab, mode: Mode) -> (RepositoryLock, impl Fn() -> Result<String, EngineError>) {
    assert_eq!(std::env::var("DR_TEST_CLOCK_SPEED").as_deref(), Ok(SPEED));
    let (sender, events) = std::sync::mpsc::channel();
    let hear: Hear = Arc::new(move |news| {
        let _ = sender.send(match news {
            News::Waiting(run) => panic!("waits for {run}"),
            News::Held(id) => Ok(id.to_owned()),
            News::Lost(error) => Err(error),
        });
    });
    let held = acquire(&lab.store, &lab.open().unwrap().key, &request(mode), hear, lab.handle()).unwrap();
    (held, move || events.recv_timeout(Duration::from_secs(30)).unwrap())
}

/// Why it is lost in the end.
fn why_lost(next: impl Fn() -> Result<String, EngineError>) -> String {
    // Here it is refreshed twice a second.
    for _ in 0..200 {
        match next() {
            Ok(_) => {}
            Err(EngineError::LockLost { reason, .. }) => return reason,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("it is refreshed for ever")
}

#[test]
#[ignore = "needs a fast clock; the test below starts it with one"]
fn in_fast_time_a_lock_is_refreshed_and_given_up_when_that_fails() {
    let lab = Lab::with_repository();
    let (held, next) = heard(&lab, Mode::Shared);
    let first = next().unwrap();
    let second = next().unwrap();
    assert_ne!(first, second);
    assert!(lab.repo().join("locks").join(&second).exists());
    held.held().check().unwrap();
    std::fs::remove_dir_all(lab.repo()).unwrap();
    std::fs::write(lab.repo(), "no folder any more").unwrap();
    let reason = why_lost(next);
    assert!(reason.contains("not refreshed for 22 minutes"), "{reason}");
}

#[test]
#[ignore = "needs a fast clock; the test below starts it with one"]
fn in_fast_time_a_lock_that_somebody_broke_is_lost() {
    let lab = Lab::with_repository();
    let (held, next) = heard(&lab, Mode::Shared);
    let broken = lab.repo().join("locks").join(held.id());
    std::fs::remove_file(broken).unwrap();
    assert!(matches!(held.held().check(), Err(EngineError::LockLost { .. })));
    let reason = why_lost(next);
    assert!(reason.contains("somebody removed it"), "{reason}");
    drop(held);
    assert_eq!(lab.files("locks/").len(), 0, "no new one is left either");
}

#[test]
#[ignore = "needs a fast clock; the test below starts it with one"]
fn in_fast_time_who_only_reads_takes_a_broken_lock_anew() {
    let lab = Lab::with_repository();
    let (held, next) = heard(&lab, Mode::Reading);
    let first = next().unwrap();
    std::fs::remove_file(lab.repo().join("locks").join(&first)).unwrap();
    // Not beside who wants the repository for itself.
    let alone = lock(&lab, &request(Mode::Exclusive)).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(lab.files("locks/").len(), 1);
    drop(alone);
    assert_ne!(next().unwrap(), first);
    held.held().check().unwrap();
    drop(held);
    assert_eq!(lab.files("locks/").len(), 0);
}

#[test]
fn who_only_reads_takes_a_broken_lock_anew() {
    in_fast_time("in_fast_time_who_only_reads_takes_a_broken_lock_anew");
}

#[test]
fn a_lock_that_somebody_broke_is_lost() {
    in_fast_time("in_fast_time_a_lock_that_somebody_broke_is_lost");
}

#[test]
#[ignore = "is made to stand still by the test below"]
fn in_fast_time_a_lock_is_lost_to_who_stood_still() {
    let lab = Lab::with_repository();
    let (held, next) = heard(&lab, Mode::Shared);
    let (reading, next_of_reader) = heard(&lab, Mode::Reading);
    let stopped = crate::clock::since_boot();
    println!("held\n");
    let reason = why_lost(next);
    let slept = crate::clock::since_boot() - stopped;
    assert!(reason.contains("not refreshed for 22 minutes"), "{reason}");
    assert!(matches!(held.held().is_fresh(), Err(EngineError::LockLost { .. })));
    assert!(slept >= held::AT_LEAST, "it was lost after {slept:?}, without standing still");
    // Who only reads goes on below another lock.
    while reading.held().is_fresh().is_err() {
        next_of_reader().unwrap();
    }
    reading.held().check().unwrap();
    assert!(lab.repo().join("locks").join(reading.id()).exists());
}

#[test]
fn a_lock_is_lost_to_who_stood_still() {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture"])
        .arg("engines::restic::locks::tests::in_fast_time_a_lock_is_lost_to_who_stood_still")
        .env("DR_TEST_CLOCK_SPEED", SPEED)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.ends_with("held")));
    let process = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
    std::thread::sleep(held::AT_LEAST + Duration::from_secs(1));
    rustix::process::kill_process(process, rustix::process::Signal::CONT).unwrap();
    let text: Vec<String> = lines.collect();
    assert!(child.wait().unwrap().success(), "{text:?}");
}

#[test]
fn below_a_lock_that_somebody_broke_nothing_is_stored_and_nothing_goes() {
    let lab = Lab::with_repository();
    std::fs::write(lab.data().join("file"), "content").unwrap();
    let points = [lab.backup(BackupOptions::default()), lab.backup(BackupOptions::default())];
    let opened = lab.open().unwrap();
    let held = lock(&lab, &request(Mode::Shared)).unwrap();
    opened.gate.guard(held.held());
    std::fs::remove_file(lab.repo().join("locks").join(held.id())).unwrap();
    let indexed = opened.repository.to_indexed_ids().unwrap();
    let options = BackupOptions { paths: vec![lab.data()], ..BackupOptions::default() };
    let stored = crate::engines::restic::source::backup(&indexed, &opened.gate, &options, &Silent);
    assert!(matches!(stored, Err(EngineError::LockLost { .. })), "{stored:?}");
    drop(held);

    let broken = lab.repo();
    let breaks: Hear = Arc::new(move |news| {
        let News::Held(id) = news else { panic!("{news:?}") };
        std::fs::remove_file(broken.join("locks").join(id)).unwrap();
    });
    let keep = crate::retention::Keep { last: Some(1), ..Default::default() };
    let opened = lab.open().unwrap();
    let notes = Notes::new(Arc::new(LocalStore::new(lab.folder.path().join("repo.dr"))));
    let gone = forget(&opened, Some(&keep), &[], &notes, &request(Mode::Exclusive), breaks, lab.handle());
    assert!(matches!(gone, Err(EngineError::LockLost { .. })), "{gone:?}");
    assert_eq!(lab.files("snapshots/").len(), points.len());
}

/// Runs a test that is ignored here, in a process of its own with a fast clock.
fn in_fast_time(test: &str) {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored"])
        .arg(format!("engines::restic::locks::tests::{test}"))
        .env("DR_TEST_CLOCK_SPEED", SPEED)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn a_lock_is_refreshed_and_given_up_when_that_fails() {
    in_fast_time("in_fast_time_a_lock_is_refreshed_and_given_up_when_that_fails");
}

#[test]
#[ignore = "needs a fast clock; the test below starts it with one"]
fn in_fast_time_only_a_lock_that_nobody_refreshes_for_half_an_hour_is_removed() {
    let lab = Lab::with_repository();
    // In real seconds: half an hour is at least fifteen of them, however fast the clock is.
    let speed: u64 = SPEED.parse().unwrap();
    let request = |seconds: u64| Request { wait: Duration::from_secs(seconds * speed), ..request(Mode::Exclusive) };
    let abandoned = foreign(&lab, "elsewhere", 3, 0, false);
    assert!(matches!(lock(&lab, &request(10)), Err(EngineError::Locked { .. })));
    drop(lock(&lab, &request(40)).unwrap());
    assert!(!lab.repo().join("locks").join(abandoned).exists());
    let held = lock(&lab, &Request { mode: Mode::Shared, ..request(0) }).unwrap();
    assert!(matches!(lock(&lab, &request(20)), Err(EngineError::Locked { .. })), "it is refreshed every five minutes");
    drop(held);
    assert_eq!(lab.files("locks/").len(), 0);
}

#[test]
fn only_a_lock_that_nobody_refreshes_for_half_an_hour_is_removed() {
    in_fast_time("in_fast_time_only_a_lock_that_nobody_refreshes_for_half_an_hour_is_removed");
}
