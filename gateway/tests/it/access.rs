//! Who is let in, and that nobody else's body is read.

use crate::cluster::World;
use crate::wire::{ask, exchange};

/// Without a valid signature nothing is done, whatever is asked; the answer names the request.
/// Method: each way to be wrong, on reads and writes.
#[tokio::test]
async fn nothing_without_a_signature() {
    let world = World::new().await;
    ask("PUT", "/bucket").send(world.address).await;
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/bucket"),
        ("PUT", "/bucket/key"),
        ("DELETE", "/bucket"),
    ] {
        let unsigned = ask(method, path).unsigned(world.address);
        let reply = exchange(world.address, unsigned.as_bytes(), b"").await;
        assert_eq!((reply.status, reply.code().as_str()), (403, "AccessDenied"));
        assert_eq!(
            reply.all("RequestId"),
            [reply.header("x-amz-request-id").expect("named")]
        );

        let mut wrong = ask(method, path);
        wrong.secret = "another".into();
        let reply = wrong.send(world.address).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (403, "SignatureDoesNotMatch")
        );

        let mut unknown = ask(method, path);
        unknown.access_key = "AKOTHER".into();
        let reply = unknown.send(world.address).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (403, "InvalidAccessKeyId")
        );
    }
    assert_eq!(ask("GET", "/bucket").send(world.address).await.status, 200);
}

/// Who shows no signature learns nothing, not even which operations and names there can be.
/// Method: requests that are answered otherwise once they are signed.
#[tokio::test]
async fn the_anonymous_are_told_nothing() {
    let world = World::new().await;
    let at = world.address;
    for request in [
        ask("GET", "/bucket").query("versions", ""),
        ask("GET", "/bucket").query("unheard-of", ""),
        ask("PATCH", "/bucket/key"),
        ask("POST", "/bucket/key").query("uploads", ""),
        ask("POST", "/bucket").query("delete", "").body("<Delete/>"),
        ask("PUT", "/Bad_Name"),
        ask("GET", format!("/bucket/{}", "x".repeat(1025))),
        ask("PUT", "/bucket/key").header("x-amz-copy-source", "/b/k"),
        ask("GET", "/")
            .header("authorization", "a")
            .header("authorization", "b"),
    ] {
        let head = request.unsigned(at);
        let reply = exchange(at, head.as_bytes(), b"").await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (403, "AccessDenied"),
            "{head}"
        );
    }
    let head = ask("HEAD", "/Bad_Name").unsigned(at);
    let reply = exchange(at, head.as_bytes(), b"").await;
    assert_eq!((reply.status, reply.body.len()), (403, 0));
}

/// A body is asked for only once the request was found good: by its signature, its headers and its
/// bucket.
/// Method: `Expect: 100-continue` on uploads that fail each of these, and on one that fails none.
#[tokio::test]
async fn bodies_of_refused_requests_are_not_asked_for() {
    let world = World::new().await;
    ask("PUT", "/bucket").send(world.address).await;
    let expecting = |path: &str| {
        ask("PUT", path)
            .header("expect", "100-continue")
            .body("hello")
    };
    let unsigned = expecting("/bucket/key").unsigned(world.address);
    let reply = exchange(world.address, unsigned.as_bytes(), b"hello").await;
    assert_eq!((reply.status, reply.continued), (403, false));
    let form = ask("POST", "/bucket")
        .header("expect", "100-continue")
        .header("content-type", "multipart/form-data; boundary=x");
    let unsigned = form.unsigned(world.address);
    let reply = exchange(world.address, unsigned.as_bytes(), b"").await;
    assert_eq!((reply.status, reply.continued), (403, false));
    let reply = form.send(world.address).await;
    assert_eq!((reply.status, reply.continued), (501, false));

    let mut wrong = expecting("/bucket/key");
    wrong.secret = "another".into();
    let refused = expecting("/bucket/key").header("x-amz-object-lock-mode", "GOVERNANCE");
    let nowhere = expecting("/elsewhere/key");
    for (ask, status) in [(wrong, 403), (refused, 501), (nowhere, 404)] {
        let reply = ask.send(world.address).await;
        assert_eq!((reply.status, reply.continued), (status, false));
    }
    let reply = expecting("/bucket/key").send(world.address).await;
    assert_eq!((reply.status, reply.continued), (200, true));
}

/// A presigned URL does what was signed and nothing else.
/// Method: read and write by URL; then with a header, a path or a method that was not signed.
#[tokio::test]
async fn presigned_urls_do_what_was_signed() {
    let world = World::new().await;
    ask("PUT", "/bucket").send(world.address).await;
    let put = ask("PUT", "/bucket/key")
        .body("hello")
        .presigned(world.address);
    assert_eq!(
        exchange(world.address, put.as_bytes(), b"hello")
            .await
            .status,
        200
    );
    let get = ask("GET", "/bucket/key").presigned(world.address);
    assert_eq!(
        exchange(world.address, get.as_bytes(), b"").await.body,
        b"hello"
    );

    let copy = put.replace("host:", "x-amz-copy-source: /bucket/other\r\nhost:");
    let renamed = put.replace("/key", "/other");
    let deleted = get.replace("GET ", "DELETE ");
    for changed in [copy, renamed, deleted] {
        let reply = exchange(world.address, changed.as_bytes(), b"hello").await;
        assert_eq!(reply.status, 403, "{}", reply.code());
    }
    let meta = ask("PUT", "/bucket/key")
        .query("x-amz-meta-a", "1")
        .body("x");
    let reply = exchange(
        world.address,
        meta.presigned(world.address).as_bytes(),
        b"x",
    )
    .await;
    assert_eq!(reply.code(), "NotImplemented");
}

/// What is not implemented says so.
/// Method: operations and subresources that other issues bring.
#[tokio::test]
async fn what_is_missing_says_so() {
    let world = World::new().await;
    ask("PUT", "/bucket").send(world.address).await;
    for request in [
        ask("GET", "/bucket").query("cors", ""),
        ask("PUT", "/bucket")
            .query("versioning", "")
            .body("<VersioningConfiguration/>"),
        ask("GET", "/bucket").query("policy", ""),
        ask("GET", "/bucket").query("lifecycle", ""),
        ask("GET", "/bucket/key").query("retention", ""),
        ask("POST", "/bucket/key").query("restore", ""),
        ask("PUT", "/bucket/key").header("x-amz-object-lock-mode", "GOVERNANCE"),
        ask("PUT", "/bucket/key").header("x-amz-server-side-encryption", "aws:kms"),
    ] {
        let reply = request.send(world.address).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (501, "NotImplemented"),
            "{}",
            reply.text()
        );
    }
    // The claim to be another operation does not hide a header.
    let claimed = ask("PUT", "/bucket/key")
        .query("x-id", "PutObject")
        .header("x-amz-copy-source", "/bucket/other");
    let reply = claimed.send(world.address).await;
    assert_eq!((reply.status, reply.code().as_str()), (404, "NoSuchKey"));
    let listed = ask("GET", "/bucket").send(world.address).await;
    assert_eq!(listed.all("Key"), [""; 0]);
}
