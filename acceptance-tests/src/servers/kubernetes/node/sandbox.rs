//! A container's processes, on the machine's own file system with the container's volumes mounted over it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A folder of the machine that the container sees elsewhere.
#[derive(Debug, Clone)]
pub(super) struct Mount {
    pub(super) source: PathBuf,
    pub(super) target: String,
    pub(super) read_only: bool,
}

/// In a mount namespace of its own: a root on which everything that the machine has is found, and mount points can be
/// made that it lacks, without a trace on the machine.
const SCRIPT: &str = r#"set -e
root=$1; shift
mount -t tmpfs -o mode=755 tmpfs "$root"
for entry in /* /.[!.]*; do
  if [ -L "$entry" ]; then cp -P "$entry" "$root$entry"
  elif [ -d "$entry" ]; then mkdir "$root$entry"; mount --rbind "$entry" "$root$entry"
  elif [ -e "$entry" ]; then : >"$root$entry"; mount --bind "$entry" "$root$entry"
  fi
done
while [ "$1" != -- ]; do
  source=$1 target=$2 mode=$3; shift 3
  top=/$(echo "${target#/}" | cut -d/ -f1)
  if [ ! -d "$root$target" ] && [ -d "$top" ]; then
    echo "cannot mount on $target: the machine has $top, where nothing is made for a test" >&2; exit 125
  fi
  mkdir -p "$root$target"
  mount --bind "$source" "$root$target"
  [ "$mode" = rw ] || mount -o remount,bind,ro "$root$target"
done
shift
exec chroot "$root" "$@"
"#;

/// What runs `program` so. `root` is an empty folder.
pub(super) fn command(root: &Path, mounts: &[Mount], program: &[String]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]);
    if !may_mount() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["sh", "-c", SCRIPT, "sh"]).arg(root);
    for mount in mounts {
        command.arg(&mount.source).arg(&mount.target).arg(if mount.read_only { "ro" } else { "rw" });
    }
    command.arg("--").args(program);
    command
}

/// Whether this user may mount without a user namespace.
fn may_mount() -> bool {
    static MAY: OnceLock<bool> = OnceLock::new();
    *MAY.get_or_init(|| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}
