//! Who and where this process is, as key files and locks say it.

/// This machine's name.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The user's name; its number where the environment does not say it.
pub fn user() -> String {
    let named = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    named.unwrap_or_else(|| rustix::process::getuid().as_raw().to_string())
}

/// Where the ids of processes mean what they mean to this one: this boot of this machine, and in it this namespace of process
/// ids. `None` where that can't be told.
pub fn process_space() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// Whether a process with this id is to be seen from here. A container's are not, and neither are those of another machine of
/// the same name.
pub fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_one_that_ended_does_not() {
        assert!(is_alive(std::process::id()));
        assert!(is_alive(1), "another user's process lives too");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert!(!is_alive(pid));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn processes_of_one_machine_see_each_other_in_one_space() {
        let own = process_space().unwrap();
        assert!(own.contains("-") && own.contains(" pid:["), "{own}");
        assert_eq!(process_space(), Some(own));
    }
}
