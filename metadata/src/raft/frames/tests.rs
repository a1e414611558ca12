//! Frames whose heads lie.

use super::*;
use disk::sim::SimDisk;

/// A length that reaches beyond the file is damage: it is noticed before anything so long is read.
/// Method: flip each bit of a frame's length, and count what is read.
#[tokio::test]
async fn a_frame_never_makes_more_be_read_than_the_file_holds() {
    let disk = SimDisk::new(1);
    let sealing = Sealing::new(seal::provider::default(), StorageKey::new([1; 32]));
    let name = "log-00000001";
    let file = FrameFile::create(&disk, name, Kind::Log, 1, ByteCount::ZERO, &sealing)
        .await
        .unwrap();
    let frame = file.encode(0, &[7; 9000]);
    let length = BLOCK as u64 + frame.len() as u64;
    let at = ByteOffset::new(BLOCK as u64);
    file.file.write(at, frame).await.unwrap();
    assert_eq!(file.read(1).await.unwrap(), [7; 9000]);

    disk.script(move |call| {
        assert!(call.length.get() <= length, "{call:?}");
        disk::sim::Fate::Proceed
    });
    for bit in 0..32_u64 {
        let at = ByteOffset::new(BLOCK as u64 + 4 + bit / 8);
        let mask = 1 << (bit % 8);
        disk.flip(name, at, mask);
        let found = file.read(1).await;
        assert!(
            matches!(found, Err(FrameError::Damaged { .. })),
            "bit {bit}: {found:?}"
        );
        disk.flip(name, at, mask);
    }
    assert_eq!(file.read(1).await.unwrap(), [7; 9000]);
}
