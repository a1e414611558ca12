//! MD5 is what RFC 1321 says, however the bytes come.

use md5::Digest;
use proptest::prelude::*;
use seal::md5::Md5;

fn of(bytes: &[u8]) -> [u8; 16] {
    let mut md5 = Md5::new();
    md5.update(bytes);
    md5.finalize()
}

/// The test suite of RFC 1321, A.5.
#[test]
fn it_gives_the_published_sums() {
    let digits = "1234567890".repeat(8);
    for (text, sum) in [
        ("", "d41d8cd98f00b204e9800998ecf8427e"),
        ("a", "0cc175b9c0f1b6a831c399e269772661"),
        ("abc", "900150983cd24fb0d6963f7d28e17f72"),
        ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
        (
            "abcdefghijklmnopqrstuvwxyz",
            "c3fcd3d76192e4007dfb496cca67e13b",
        ),
        (&digits, "57edf4a22be3c955ac49da2e2107b67a"),
    ] {
        assert_eq!(hex::encode(of(text.as_bytes())), sum, "{text}");
    }
}

proptest! {
    /// Cuts change nothing. Method: against the `md-5` crate, which takes all at once.
    #[test]
    fn it_is_md5_in_pieces(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..300) {
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        let mut ours = Md5::new();
        ours.update(first);
        ours.update(second);
        let theirs = md5::Md5::digest(&bytes);
        prop_assert_eq!(&ours.finalize()[..], &theirs[..]);
    }
}
