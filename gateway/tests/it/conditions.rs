//! Conditional writes and deletions, and what a doomed one is spared.

use crate::cluster::World;
use crate::wire::{Reply, ask, now};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const NOTHING: &str = "\"d41d8cd98f00b204e9800998ecf8427e\"";
/// When everything is modified in these tests.
const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn told(reply: &Reply) -> (u16, String) {
    (reply.status, reply.code())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

async fn world() -> World {
    let world = World::new().await;
    let made = ask("PUT", "/bucket").send(world.address).await;
    assert_eq!(made.status, 200);
    world
}

/// A write happens if what it asks of the version that is there holds, and is refused as S3 does otherwise;
/// then its body is not even asked for.
/// Method: a table of conditions over no object and over an empty one; `Expect: 100-continue`.
#[tokio::test]
async fn writes_are_conditional() {
    let world = world().await;
    let at = world.address;
    let ok = || refused(200, "");
    let failed = || refused(412, "PreconditionFailed");
    let missing = || refused(404, "NoSuchKey");
    for (name, value, over_none, over_empty) in [
        ("if-none-match", "*", ok(), failed()),
        ("if-none-match", NOTHING, ok(), failed()),
        ("if-none-match", "\"other\"", ok(), ok()),
        ("if-none-match", "ABCORZ", ok(), ok()),
        ("if-match", "*", missing(), ok()),
        ("if-match", NOTHING, missing(), ok()),
        ("if-match", NOTHING.trim_matches('"'), missing(), ok()),
        ("if-match", "\"other\"", missing(), failed()),
        ("if-match", "\"other\", \"another\"", missing(), failed()),
    ] {
        for (there, expected) in [(false, over_none), (true, over_empty)] {
            ask("DELETE", "/bucket/key").send(at).await;
            if there {
                ask("PUT", "/bucket/key").send(at).await;
            }
            let put = ask("PUT", "/bucket/key")
                .header(name, value)
                .header("expect", "100-continue")
                .body("new");
            let reply = put.send(at).await;
            assert_eq!(told(&reply), expected, "{name}: {value} over {there}");
            assert_eq!(reply.continued, expected.0 == 200, "{name}: {value}");
            let length = ask("HEAD", "/bucket/key").send(at).await;
            let length = length.header("content-length").map(str::to_owned);
            let kept = match (expected.0, there) {
                (200, _) => Some("3"),
                (_, true) => Some("0"),
                (_, false) => None,
            };
            // An error of HEAD has a length of its own.
            let length = length.filter(|_| expected.0 == 200 || there);
            assert_eq!(length.as_deref(), kept, "{name}: {value} over {there}");
        }
    }
}

/// Begins a conditional PUT, and waits until its body is asked for.
async fn begin(at: SocketAddr, name: &str, value: &str) -> TcpStream {
    let put = ask("PUT", "/bucket/key")
        .header(name, value)
        .header("expect", "100-continue")
        .body("mine!");
    let (head, _) = put.head(at, &now());
    let mut stream = TcpStream::connect(at).await.expect("listens");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.expect("asked for");
    assert!(interim.starts_with(b"HTTP/1.1 100"));
    stream
}

async fn end(mut stream: TcpStream) -> String {
    stream.write_all(b"mine!").await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer
}

/// A condition that held when the body was asked for is judged again when the object would be visible.
/// Method: write, or delete, the object between the two.
#[tokio::test]
async fn conditions_are_judged_at_the_commit() {
    let world = world().await;
    let at = world.address;
    let late = begin(at, "if-none-match", "*").await;
    ask("PUT", "/bucket/key").body("theirs").send(at).await;
    let answer = end(late).await;
    assert!(answer.starts_with("HTTP/1.1 412"), "{answer}");
    let kept = ask("GET", "/bucket/key").send(at).await;
    assert_eq!(kept.body, b"theirs");

    let late = begin(at, "if-match", kept.header("etag").expect("an ETag")).await;
    ask("PUT", "/bucket/key").body("again").send(at).await;
    let answer = end(late).await;
    assert!(answer.starts_with("HTTP/1.1 412"), "{answer}");

    let late = begin(at, "if-match", "*").await;
    ask("DELETE", "/bucket/key").send(at).await;
    let answer = end(late).await;
    assert!(answer.starts_with("HTTP/1.1 409"), "{answer}");
    assert!(
        answer.contains("<Code>ConditionalRequestConflict<"),
        "{answer}"
    );
    assert_eq!(ask("GET", "/bucket/key").send(at).await.status, 404);
}

/// A deletion happens if what it asks holds; what is not there is deleted whatever was asked.
/// Method: each condition, held and not, alone and together.
#[tokio::test]
async fn deletions_are_conditional() {
    let world = world().await;
    let at = world.address;
    let size = "x-amz-if-match-size";
    let time = "x-amz-if-match-last-modified-time";
    for (conditions, deleted) in [
        (vec![("if-match", "*")], true),
        (vec![("if-match", NOTHING)], true),
        (vec![("if-match", "\"other\"")], false),
        (vec![(size, "0")], true),
        (vec![(size, "9999")], false),
        (vec![(time, MODIFIED)], true),
        (vec![(time, "Thu, 01 Jan 2015 00:00:00 GMT")], false),
        (vec![(time, "Thu, 01 Jan 1931 00:00:00 GMT")], false),
        (
            vec![("if-match", NOTHING), (size, "0"), (time, MODIFIED)],
            true,
        ),
        (vec![("if-match", NOTHING), (size, "1")], false),
    ] {
        ask("PUT", "/bucket/key").send(at).await;
        let delete = || {
            let mut delete = ask("DELETE", "/bucket/key");
            for (name, value) in &conditions {
                delete = delete.header(name, value);
            }
            delete
        };
        let reply = delete().send(at).await;
        let expected = match deleted {
            true => refused(204, ""),
            false => refused(412, "PreconditionFailed"),
        };
        assert_eq!(told(&reply), expected, "{conditions:?}");
        let left = ask("HEAD", "/bucket/key").send(at).await.status;
        assert_eq!(left, if deleted { 404 } else { 200 }, "{conditions:?}");
        ask("DELETE", "/bucket/key").send(at).await;
        assert_eq!(delete().send(at).await.status, 204, "{conditions:?}");
    }
    let negative = ask("DELETE", "/bucket/key")
        .header(size, "-1")
        .send(at)
        .await;
    assert_eq!(told(&negative), refused(400, "InvalidArgument"));
}

/// Each entry of DeleteObjects has conditions of its own.
/// Method: entries that hold, that do not, and one of what is not there.
#[tokio::test]
async fn each_of_many_deletions_is_conditional() {
    let world = world().await;
    let at = world.address;
    for key in ["a", "b", "c", "d", "e", "f"] {
        ask("PUT", format!("/bucket/{key}")).send(at).await;
    }
    let entry =
        |key: &str, condition: &str| format!("<Object><Key>{key}</Key>{condition}</Object>");
    let etag = |tag: &str| format!("<ETag>{}</ETag>", tag.replace('"', "&quot;"));
    let entries = [
        entry("a", &etag(NOTHING)),
        entry("b", &etag("badetag")),
        entry("c", "<Size>0</Size>"),
        entry("d", "<Size>1</Size>"),
        entry(
            "e",
            &format!("<LastModifiedTime>{MODIFIED}</LastModifiedTime>"),
        ),
        entry(
            "f",
            "<LastModifiedTime>Thu, 01 Jan 2015 00:00:00 GMT</LastModifiedTime>",
        ),
        entry("none", &etag("badetag")),
    ];
    let reply = ask("POST", "/bucket")
        .query("delete", "")
        .body(format!("<Delete>{}</Delete>", entries.concat()))
        .send(at)
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let deleted: Vec<String> = ["a", "c", "e", "none"]
        .map(|key| format!("<Key>{key}</Key>"))
        .into();
    assert_eq!(reply.all("Deleted"), deleted);
    assert_eq!(reply.all("Code"), ["PreconditionFailed"; 3]);
    let left = ask("GET", "/bucket").send(at).await;
    assert_eq!(left.all("Key"), ["b", "d", "f"]);
}
