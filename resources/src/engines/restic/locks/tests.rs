//! Locks of ours and of the real restic, against each other.

use super::*;
use crate::engines::restic::testing::Lab;
use std::io::Write;

fn request(mode: Mode) -> Request {
    Request { mode, wait: Duration::ZERO, dead: Vec::new() }
}

fn lock(lab: &Lab, request: &Request) -> Result<RepositoryLock, EngineError> {
    let opened = lab.open().unwrap();
    acquire(&lab.store, &opened.key, request, Arc::new(|_| {}), lab.handle())
}

fn foreign(lab: &Lab, host: &str, pid: u32, minutes: i64, exclusive: bool) -> String {
    let time = clock::now() - jiff::SignedDuration::from_mins(minutes);
    let file = LockFile { time, exclusive, hostname: host.into(), username: "ada".into(), pid, uid: 0, gid: 0 };
    lab.runtime.block_on(file::write_file(lab.store.as_ref(), &lab.open().unwrap().key, &file)).unwrap()
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
fn dead_locks_are_passed_over_and_removed_where_that_is_proved() {
    let lab = Lab::with_repository();
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    foreign(&lab, &machine::host(), child.id(), 1, true);
    let stale = foreign(&lab, "elsewhere", 1, 31, true);
    let named = foreign(&lab, "elsewhere", 2, 1, true);
    drop(lock(&lab, &Request { dead: vec![named], ..request(Mode::Exclusive) }).unwrap());
    assert_eq!(lab.files("locks/"), [lab.repo().join("locks").join(stale)]);
    foreign(&lab, "elsewhere", 3, 29, false);
    drop(lock(&lab, &request(Mode::Shared)).unwrap());
    let refused = lock(&lab, &request(Mode::Exclusive)).err().unwrap();
    assert!(refused.to_string().contains("by ada on elsewhere, process 3,"), "{refused}");
    assert!(refused.to_string().ends_with("(29 minutes ago)"), "{refused}");
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

#[test]
#[ignore = "needs a fast clock; the test below starts it with one"]
fn in_fast_time_a_lock_is_refreshed_and_given_up_when_that_fails() {
    assert_eq!(std::env::var("DR_TEST_CLOCK_SPEED").as_deref(), Ok(SPEED));
    let lab = Lab::with_repository();
    let opened = lab.open().unwrap();
    let (sender, events) = std::sync::mpsc::channel();
    let lost: Lost = Arc::new(move |event| {
        let _ = sender.send(event.map(str::to_owned));
    });
    let held = acquire(&lab.store, &opened.key, &request(Mode::Shared), lost, lab.handle()).unwrap();
    let next = || events.recv_timeout(Duration::from_secs(20)).unwrap();
    let first = next().unwrap();
    let second = next().unwrap();
    assert_ne!(first, second);
    assert!(lab.repo().join("locks").join(&second).exists());
    std::fs::remove_dir_all(lab.repo()).unwrap();
    std::fs::write(lab.repo(), "no folder any more").unwrap();
    let lost = loop {
        if let Err(lost) = next() {
            break lost;
        }
    };
    assert!(matches!(lost, EngineError::LockLost { .. }), "{lost}");
    drop(held);
}

#[test]
fn a_lock_is_refreshed_and_given_up_when_that_fails() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored"])
        .arg("engines::restic::locks::tests::in_fast_time_a_lock_is_refreshed_and_given_up_when_that_fails")
        .env("DR_TEST_CLOCK_SPEED", SPEED)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
