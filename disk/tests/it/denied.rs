//! Where the kernel denies io_uring, as containers' default seccomp profiles do.

use crate::suite::suite;
use futures::executor::block_on;
use std::fmt::Write;
use std::io;
use std::process::Command;
use std::sync::{Arc, Mutex};
use strongroom_disk::Choice;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Set in the process that denies itself io_uring.
const DENIED: &str = "STRONGROOM_TEST_DENIED";

/// Where io_uring_setup is denied, threads serve with the same promises, and one line says which knob
/// to turn; whoever asked for io_uring alone is refused.
/// Method: a process of its own, since a seccomp filter is for life and the line is said once.
#[test]
fn threads_serve_where_io_uring_is_denied() {
    if std::env::var_os(DENIED).is_some() {
        return denied();
    }
    let this = "denied::threads_serve_where_io_uring_is_denied";
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", this, "--nocapture"])
        .env(DENIED, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    let complained = String::from_utf8_lossy(&child.stderr);
    let passed = child.status.success() && said.contains("1 passed");
    assert!(passed, "{said}\n{complained}");
}

fn denied() {
    deny_io_uring().unwrap();
    let refused = io_uring::IoUring::new(4).err().expect("the filter denies");
    assert_eq!(refused.raw_os_error(), Some(libc::EPERM));

    let lines = Lines::default();
    let folder = || tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (first, second) = (folder(), folder());
    let open = |choice| strongroom_disk::open(first.path(), choice);
    tracing::subscriber::with_default(lines.clone(), || {
        let refused = open(Choice::Uring).err().expect("no ring, no disk");
        assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
        let disk = open(Choice::Auto).unwrap();
        let engine = disk.engine();
        assert!(engine.starts_with("threads (io_uring: "), "{engine}");
        block_on(suite(disk));
        strongroom_disk::open(second.path(), Choice::Auto).unwrap();
    });
    let lines = lines.0.lock().unwrap();
    let [line] = &lines[..] else {
        panic!("said once: {lines:?}");
    };
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    let knob = match disabled.as_deref().map(str::trim) {
        Ok("1" | "2") => "kernel.io_uring_disabled=0",
        _ => "a seccomp profile with io_uring_setup",
    };
    assert!(line.contains(knob), "{line}");
}

/// Denies io_uring_setup to this thread and those that it starts.
fn deny_io_uring() -> io::Result<()> {
    const NUMBER_AT: u32 = 0;
    let instruction = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter {
        code: u16::try_from(code).expect("a BPF opcode has 16 bits"),
        jt,
        jf,
        k,
    };
    let setup = u32::try_from(libc::SYS_io_uring_setup).expect("a system call's number");
    let eperm = u32::try_from(libc::EPERM).expect("a positive errno");
    let mut program = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, NUMBER_AT, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, setup, 0, 1),
        instruction(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ERRNO | eperm,
            0,
            0,
        ),
        instruction(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).expect("four instructions"),
        filter: program.as_mut_ptr(),
    };
    // SAFETY: this option takes integers only. Without it an unprivileged filter is refused.
    let unprivileged = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if unprivileged == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `filter` points to `program`, both outlive the call, and the kernel copies them.
    let installed = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const filter,
        )
    };
    if installed == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The lines that were logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, _field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{value:?}").expect("a string takes all");
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
