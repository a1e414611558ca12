//! One suite, run against every engine: the same promises, whoever keeps them.

use futures::executor::block_on;
use futures::future::try_join_all;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use strongroom_disk::{BLOCK, Buffer, Choice, Disk, sim::SimDisk};
use tokio::runtime::Runtime;
use types::{ByteCount, ByteOffset};

const BLOCK_BYTES: u64 = BLOCK as u64;

fn at(block: u64) -> ByteOffset {
    ByteOffset::new(block * BLOCK_BYTES)
}

fn blocks(count: u64) -> ByteCount {
    ByteCount::new(count * BLOCK_BYTES)
}

fn filled(blocks: usize, byte: u8) -> Buffer {
    Buffer::copy_of(&vec![byte; blocks * BLOCK])
}

fn kind<T>(result: io::Result<T>) -> ErrorKind {
    result.err().expect("an error").kind()
}

/// What every engine promises, on a fresh folder.
pub(crate) async fn suite(disk: Arc<dyn Disk>) {
    names(&*disk).await;
    bytes(&*disk).await;
    lengths(&*disk).await;
    many_at_once(disk).await;
}

async fn names(disk: &dyn Disk) {
    assert_eq!(disk.list().await.unwrap(), []);
    assert_eq!(kind(disk.open("b").await), ErrorKind::NotFound);
    let file = disk.create("b").await.unwrap();
    assert_eq!(kind(disk.create("b").await), ErrorKind::AlreadyExists);
    disk.create("a").await.unwrap();
    file.write(at(0), filled(2, 1)).await.unwrap();
    let listed = disk.list().await.unwrap();
    let listed: Vec<_> = listed.iter().map(|e| (&*e.name, e.length)).collect();
    assert_eq!(listed, [("a", ByteCount::ZERO), ("b", blocks(2))]);

    // A rename replaces; the open file is followed by its new name.
    disk.rename("b", "a").await.unwrap();
    assert_eq!(kind(disk.open("b").await), ErrorKind::NotFound);
    let again = disk.open("a").await.unwrap();
    assert_eq!(again.read(at(1), blocks(1)).await.unwrap(), [1; BLOCK][..]);
    assert_eq!(again.links().await.unwrap(), 1);

    assert!(disk.attached().await.unwrap());

    // Removed behind an open file: it says so.
    disk.remove("a").await.unwrap();
    assert_eq!(file.links().await.unwrap(), 0);
    assert_eq!(kind(disk.remove("a").await), ErrorKind::NotFound);
    disk.sync_folder().await.unwrap();
    assert_eq!(disk.list().await.unwrap(), []);
}

async fn bytes(disk: &dyn Disk) {
    let file = disk.create("bytes").await.unwrap();
    assert_eq!(
        kind(file.read(at(0), blocks(1)).await),
        ErrorKind::UnexpectedEof
    );
    file.write(at(3), filled(1, 3)).await.unwrap();
    file.sync().await.unwrap();
    assert_eq!(file.length().await.unwrap(), blocks(4));
    assert_eq!(
        file.read(at(0), blocks(3)).await.unwrap(),
        [0; 3 * BLOCK][..]
    );
    assert_eq!(file.read(at(3), blocks(1)).await.unwrap(), [3; BLOCK][..]);
    // A read that reaches past the end is an error, not a short answer.
    assert_eq!(
        kind(file.read(at(3), blocks(2)).await),
        ErrorKind::UnexpectedEof
    );

    let large: Vec<u8> = (0..5 << 20).map(|i| (i / 7 % 251) as u8).collect();
    file.write(at(1), Buffer::copy_of(&large)).await.unwrap();
    let length = ByteCount::of(&large);
    assert!(file.read(at(1), length).await.unwrap() == large);

    // A handle of its own sees the same file.
    let other = disk.open("bytes").await.unwrap();
    assert!(other.read(at(1), length).await.unwrap() == large);
    other.write(at(2), filled(1, 9)).await.unwrap();
    assert_eq!(file.read(at(2), blocks(1)).await.unwrap(), [9; BLOCK][..]);

    // A dropped future abandons the result only.
    drop(file.write(at(1), filled(600, 1)));
    let mut polled = file.write(at(0), filled(600, 4));
    let _ = futures::poll!(&mut polled);
    drop(polled);
    file.sync().await.unwrap();
    disk.remove("bytes").await.unwrap();
}

async fn lengths(disk: &dyn Disk) {
    let file = disk.create("lengths").await.unwrap();
    file.write(at(0), filled(4, 7)).await.unwrap();
    file.set_length(blocks(2)).await.unwrap();
    assert_eq!(file.length().await.unwrap(), blocks(2));
    file.set_length(blocks(3)).await.unwrap();
    assert_eq!(file.read(at(2), blocks(1)).await.unwrap(), [0; BLOCK][..]);

    file.allocate(blocks(64)).await.unwrap();
    assert_eq!(file.length().await.unwrap(), blocks(64));
    assert_eq!(file.read(at(1), blocks(1)).await.unwrap(), [7; BLOCK][..]);
    assert_eq!(file.read(at(63), blocks(1)).await.unwrap(), [0; BLOCK][..]);
    // It never shortens.
    file.allocate(blocks(8)).await.unwrap();
    assert_eq!(file.length().await.unwrap(), blocks(64));

    let whole = file.allocated().await.unwrap();
    file.punch(at(1), blocks(1)).await.unwrap();
    let holed = file.allocated().await.unwrap();
    assert_eq!(whole, holed + blocks(1), "a hole takes nothing");
    assert_eq!(file.read(at(0), blocks(1)).await.unwrap(), [7; BLOCK][..]);
    assert_eq!(file.read(at(1), blocks(1)).await.unwrap(), [0; BLOCK][..]);
    assert_eq!(file.length().await.unwrap(), blocks(64));
    assert!(disk.free().await.unwrap() > ByteCount::ZERO);
    disk.remove("lengths").await.unwrap();
}

/// More at once than any queue holds, in two files, each checked.
async fn many_at_once(disk: Arc<dyn Disk>) {
    const MANY: u64 = 700;
    let files = [
        disk.create("x").await.unwrap(),
        disk.create("y").await.unwrap(),
    ];
    let byte = |n: u64| (n % 251) as u8;
    let file = |n: u64| &files[usize::from(n % 2 == 1)];
    try_join_all((0..MANY).map(|n| file(n).write(at(n), filled(1, byte(n)))))
        .await
        .unwrap();
    try_join_all(files.iter().map(|file| file.sync()))
        .await
        .unwrap();
    let read = try_join_all((0..MANY).map(|n| file(n).read(at(n), blocks(1))));
    for (n, bytes) in (0..MANY).zip(read.await.unwrap()) {
        assert_eq!(bytes, [byte(n); BLOCK][..], "block {n}");
    }
}

fn real(choice: Choice) -> (tempfile::TempDir, Arc<dyn Disk>) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let disk = strongroom_disk::open(folder.path(), choice).unwrap();
    (folder, disk)
}

#[test]
fn the_simulated_engine_keeps_the_promises() {
    block_on(suite(Arc::new(SimDisk::new(1))));
}

#[test]
fn the_thread_engine_keeps_the_promises() {
    let (_folder, disk) = real(Choice::Threads);
    assert!(disk.engine().starts_with("threads"), "{}", disk.engine());
    block_on(suite(disk));
}

/// Set where a kernel without io_uring is a failure, as in continuous integration: else nobody would notice
/// that the engine was never tried.
const REQUIRED: &str = "STRONGROOM_REQUIRE_URING";

/// Whether the kernel gives out rings.
fn rings() -> bool {
    match io_uring::IoUring::new(4) {
        Ok(_) => true,
        Err(error) => {
            let required = std::env::var_os(REQUIRED).is_some_and(|value| value != "0");
            assert!(!required, "{REQUIRED} is set, and io_uring says: {error}");
            eprintln!("left out: the ring engine; io_uring says: {error}");
            false
        }
    }
}

/// An engine that this kernel can serve, and where. Only in a runtime do tasks submit their reads themselves.
#[derive(Debug)]
struct Setting {
    choice: Choice,
    runtime: Option<Runtime>,
}

impl Setting {
    fn all() -> Vec<Self> {
        let (ring, runtime) = (rings().then_some(Choice::Uring), Runtime::new().unwrap());
        let setting = |choice| Self {
            choice,
            runtime: None,
        };
        let in_a_runtime = ring.map(|choice| Self {
            choice,
            runtime: Some(runtime),
        });
        let without = [Choice::Threads].into_iter().chain(ring).map(setting);
        without.chain(in_a_runtime).collect()
    }

    fn open(&self, folder: &Path) -> io::Result<Arc<dyn Disk>> {
        let _entered = self.runtime.as_ref().map(Runtime::enter);
        strongroom_disk::open(folder, self.choice)
    }

    fn disk(&self) -> (tempfile::TempDir, Arc<dyn Disk>) {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let disk = self.open(folder.path()).unwrap();
        (folder, disk)
    }
}

/// Where the kernel gives out rings, the ring is what serves; a fallback there would hide that the
/// engine is broken. Where it does not, threads serve.
#[test]
fn the_ring_engine_keeps_the_promises() {
    let (_folder, disk) = real(Choice::Auto);
    let engine = if rings() { "io_uring" } else { "threads" };
    assert!(disk.engine().starts_with(engine), "{}", disk.engine());
    for setting in Setting::all() {
        let (_folder, disk) = setting.disk();
        let by_tasks = disk.engine().contains("tasks submit reads");
        assert_eq!(by_tasks, setting.runtime.is_some(), "{}", disk.engine());
        block_on(suite(disk));
    }
}

/// A full device is told as such, by whichever call meets it, and reads go on.
/// Method: the kernel's own full device, under a name in the folder.
#[test]
fn a_full_device_is_told_as_full() {
    for setting in Setting::all() {
        let (folder, disk) = setting.disk();
        std::os::unix::fs::symlink("/dev/full", folder.path().join("full")).unwrap();
        block_on(async {
            let file = disk.open("full").await.unwrap();
            let refused = file.write(at(0), filled(3, 1)).await;
            assert_eq!(kind(refused), ErrorKind::StorageFull, "{setting:?}");
            assert_eq!(
                file.read(at(0), blocks(2)).await.unwrap(),
                [0; 2 * BLOCK][..]
            );
            let refused = try_join_all((0..200).map(|n| file.write(at(n), filled(1, 1)))).await;
            assert_eq!(kind(refused), ErrorKind::StorageFull, "{setting:?}");
        });
    }
}

/// A file that is cut short behind our back ends there, in the middle of a read as well; what is before the
/// cut is served, and a write makes it longer again.
#[test]
fn a_file_cut_short_ends_there() {
    for setting in Setting::all() {
        let (folder, disk) = setting.disk();
        block_on(async {
            let file = disk.create("cut").await.unwrap();
            file.write(at(0), filled(8, 5)).await.unwrap();
            let outside = folder.path().join("cut");
            let outside = std::fs::File::options().write(true).open(outside).unwrap();
            for length in [3 * BLOCK_BYTES, 3 * BLOCK_BYTES + 1000] {
                outside.set_len(length).unwrap();
                for (first, count) in [(0, 8), (3, 1), (6, 2)] {
                    let read = file.read(at(first), blocks(count)).await;
                    assert_eq!(kind(read), ErrorKind::UnexpectedEof, "{setting:?} {length}");
                }
                let before = file.read(at(0), blocks(3)).await.unwrap();
                assert_eq!(before, [5; 3 * BLOCK][..]);
            }
            file.write(at(6), filled(2, 6)).await.unwrap();
            assert_eq!(
                file.read(at(4), blocks(2)).await.unwrap(),
                [0; 2 * BLOCK][..]
            );
            assert_eq!(
                file.read(at(6), blocks(2)).await.unwrap(),
                [6; 2 * BLOCK][..]
            );
        });
    }
}

/// A folder that vanishes is told as not attached; nothing can be created in it, and files that are open go
/// on, without a name.
#[test]
fn a_folder_that_vanishes_is_noticed() {
    for setting in Setting::all() {
        let (folder, disk) = setting.disk();
        block_on(async {
            let file = disk.create("open").await.unwrap();
            file.write(at(0), filled(1, 1)).await.unwrap();
            assert!(disk.attached().await.unwrap());
            std::fs::remove_dir_all(folder.path()).unwrap();
            assert!(!disk.attached().await.unwrap(), "{setting:?}");
            assert_eq!(kind(disk.create("new").await), ErrorKind::NotFound);
            assert_eq!(kind(disk.open("open").await), ErrorKind::NotFound);
            assert_eq!(disk.list().await.unwrap(), []);
            assert_eq!(file.links().await.unwrap(), 0, "{setting:?}");
            file.write(at(1), filled(1, 2)).await.unwrap();
            file.sync().await.unwrap();
            assert_eq!(file.read(at(1), blocks(1)).await.unwrap(), [2; BLOCK][..]);
        });
    }
}

/// Two servers on one folder would overwrite each other's records.
#[test]
fn a_folder_is_served_once() {
    let (folder, disk) = real(Choice::Threads);
    let second = strongroom_disk::open(folder.path(), Choice::Threads);
    assert_eq!(kind(second), ErrorKind::ResourceBusy);
    let file = block_on(disk.create("open")).unwrap();
    drop(disk);
    let second = strongroom_disk::open(folder.path(), Choice::Threads);
    assert_eq!(kind(second), ErrorKind::ResourceBusy);
    drop(file);
    strongroom_disk::open(folder.path(), Choice::Threads).unwrap();
}

/// A folder is flat: no name leads out of it.
#[test]
fn names_stay_inside_the_folder() {
    let (_folder, disk) = real(Choice::Threads);
    for name in ["", ".", "..", "a/b", "/etc/passwd", "../x", "a\0b"] {
        assert_eq!(
            kind(block_on(disk.create(name))),
            ErrorKind::InvalidFilename,
            "{name:?}"
        );
    }
}

#[test]
fn what_is_no_folder_is_refused() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let missing = folder.path().join("missing");
    assert_eq!(
        kind(strongroom_disk::open(&missing, Choice::Auto)),
        ErrorKind::NotFound
    );
    std::fs::write(&missing, b"").unwrap();
    assert_eq!(
        kind(strongroom_disk::open(&missing, Choice::Auto)),
        ErrorKind::NotADirectory
    );
}

/// Names belong to the folder that was opened and locked, whatever its path leads to by now: a file
/// that is created elsewhere would have its name synced here.
/// Method: move the folder away under the engine, and put another one in its place.
#[test]
fn names_stay_in_the_folder_that_was_opened() {
    for setting in Setting::all() {
        let above = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (path, moved) = (above.path().join("disk"), above.path().join("moved"));
        std::fs::create_dir(&path).unwrap();
        let disk = setting.open(&path).unwrap();
        std::fs::rename(&path, &moved).unwrap();
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("stranger"), b"not ours").unwrap();
        block_on(async {
            let file = disk.create("a").await.unwrap();
            file.write(at(0), filled(1, 1)).await.unwrap();
            assert!(moved.join("a").exists(), "{setting:?}");
            let reopened = disk.open("a").await.unwrap();
            assert_eq!(reopened.length().await.unwrap(), blocks(1));
            let listed = disk.list().await.unwrap();
            assert_eq!(listed.len(), 1, "{listed:?}");
            disk.rename("a", "b").await.unwrap();
            assert!(moved.join("b").exists(), "{setting:?}");
            assert_eq!(kind(disk.remove("stranger").await), ErrorKind::NotFound);
            disk.remove("b").await.unwrap();
            assert_eq!(file.links().await.unwrap(), 0);
        });
        assert_eq!(std::fs::read_dir(&moved).unwrap().count(), 0, "{setting:?}");
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 1, "{setting:?}");
    }
}
