//! The systemd unit: systemd accepts it, and its own command line runs a Strongroom.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use strongroom_tests::{program, signal_terminate};

const UNIT: &str = include_str!("../../deploy/systemd/strongroom.service");
/// Debian's `nobody`: any user that owns nothing will do.
const UNPRIVILEGED: u32 = 65534;

/// systemd finds nothing wrong with the unit.
/// Method: `systemd-analyze verify` on the unit with the program that was just built.
#[test]
fn systemd_accepts_the_unit() {
    let folder = Folder::new("unit");
    let unit = folder.0.join("strongroom.service");
    let program = program().unwrap();
    fs::write(
        &unit,
        UNIT.replace("/usr/bin/strongroom", program.to_str().unwrap()),
    )
    .unwrap();
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&unit)
        .output();
    let verified = verified.expect("systemd-analyze runs; Debian has it in package systemd");
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.is_empty(), "{said}");
}

/// The unit's own command line and environment start a cluster as a user that owns its data folder and
/// nothing else, and SIGTERM ends it well.
/// Method: run ExecStart with other paths and free ports, as `nobody` where the test may change users.
#[test]
fn the_units_command_line_runs() {
    let folder = Folder::new("service");
    let (state, binary) = (folder.0.join("state"), folder.0.join("strongroom"));
    fs::create_dir(&state).unwrap();
    fs::copy(program().unwrap(), &binary).unwrap();

    let command = setting("ExecStart").next().unwrap();
    let mut words = command.split_whitespace();
    assert_eq!(words.next(), Some("/usr/bin/strongroom"));
    let mut service = Command::new(&binary);
    service.args(words.map(|word| word.replace("/var/lib/strongroom", state.to_str().unwrap())));
    service.env_clear().current_dir(&state).stdin(Stdio::null());
    let mut addresses = 0;
    for variable in setting("Environment") {
        let (name, address) = variable.split_once('=').unwrap();
        assert!(address.contains(':'), "{name} is an address");
        service.env(name, "127.0.0.1:0");
        addresses += 1;
    }
    assert_eq!(addresses, 3);
    if is_root() {
        chown(&state, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
        service.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
    }

    let mut service = service.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(service.stdout.take().unwrap()).lines();
    let (send, ready) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in lines.map_while(Result::ok).filter(|line| line == "ready") {
            send.send(line).ok();
        }
    });
    let started = ready.recv_timeout(Duration::from_secs(60));
    signal_terminate(service.id()).unwrap();
    let ended = service.wait().unwrap();
    reader.join().unwrap();
    started.expect("it says ready");
    assert!(ended.success(), "{ended}");
    assert!(state.join("root.key").is_file());
}

/// The values of a setting of the unit, in order.
fn setting(name: &str) -> impl Iterator<Item = &'static str> {
    let name = format!("{name}=");
    UNIT.lines()
        .filter_map(move |line| line.strip_prefix(&name))
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A folder of the test's own that others may enter, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("strongroom-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(Path::new(&self.0)).ok();
    }
}
