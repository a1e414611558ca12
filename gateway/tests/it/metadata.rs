//! User metadata beyond ASCII.

use crate::cluster::World;
use crate::wire::ask;

const WORDS: &str = "=?UTF-8?B?SGVsbG8gV29ybGTDqQ==?=";

/// Text beyond ASCII is shown in the words of RFC 2047, as on S3, however it was sent.
/// Method: raw UTF-8, and words.
#[tokio::test]
async fn text_beyond_ascii_is_shown_in_words() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    for sent in ["Hello World\u{e9}", WORDS] {
        let put = ask("PUT", "/bucket/key").header("x-amz-meta-text", sent);
        assert_eq!(put.send(at).await.status, 200, "{sent}");
        let head = ask("HEAD", "/bucket/key").send(at).await;
        assert_eq!(head.header("x-amz-meta-text"), Some(WORDS), "{sent}");
    }
}
