//! Virtual-host style: a bucket in the host, and the same bucket in the path.

use crate::cluster::World;
use crate::wire::{Ask, Reply, ask, exchange, now};

async fn world() -> World {
    let domains = ["s3.example.org", "store.local"];
    World::with(|config| config.domains = domains.map(str::to_owned).to_vec()).await
}

/// Signs and sends a request to the gateway under another name.
async fn send(world: &World, host: &str, ask: Ask) -> Reply {
    let (head, _) = ask.head_for(host, &now());
    exchange(world.address, head.as_bytes(), &ask.body).await
}

/// What is written in one style is read in the other, under every domain, with signatures over the host as
/// it was sent; routes with documents and plain listings included.
#[tokio::test]
async fn both_styles_name_the_same() {
    let world = world().await;
    let host = "bucket.s3.example.org";
    assert_eq!(send(&world, host, ask("PUT", "/")).await.status, 200);
    let put = ask("PUT", "/folder/key").body("hello");
    assert_eq!(send(&world, host, put).await.status, 200);
    for (host, path) in [
        (host, "/folder/key"),
        ("bucket.s3.example.org:9000", "/folder/key"),
        ("BUCKET.S3.Example.Org", "/folder/key"),
        ("bucket.store.local", "/folder/key"),
        ("s3.example.org", "/bucket/folder/key"),
        ("store.local:9000", "/bucket/folder/key"),
        ("localhost", "/bucket/folder/key"),
        ("some.other.host.example.net", "/bucket/folder/key"),
        ("127.0.0.1:9000", "/bucket/folder/key"),
    ] {
        let got = send(&world, host, ask("GET", path)).await;
        assert_eq!(
            (got.status, got.body.as_slice()),
            (200, &b"hello"[..]),
            "{host}"
        );
    }
    let listed = send(&world, host, ask("GET", "/").query("list-type", "2")).await;
    assert_eq!(listed.all("Key"), ["folder/key"]);
    let buckets = send(&world, "s3.example.org", ask("GET", "/")).await;
    assert_eq!(buckets.all("Name"), ["bucket"]);
    let delete = ask("POST", "/")
        .query("delete", "")
        .body("<Delete><Object><Key>folder/key</Key></Object></Delete>");
    assert_eq!(send(&world, host, delete).await.status, 200);
    let gone = ask("GET", "/bucket/folder/key").send(world.address).await;
    assert_eq!(gone.code(), "NoSuchKey");
    assert_eq!(send(&world, host, ask("DELETE", "/")).await.status, 204);
}

/// A signature is for the host that it names: the same request under another name is refused, and a bucket
/// in the host that cannot be one is said to be none.
#[tokio::test]
async fn a_signature_is_for_its_host() {
    let world = world().await;
    send(&world, "one.s3.example.org", ask("PUT", "/")).await;
    send(&world, "two.s3.example.org", ask("PUT", "/")).await;
    let get = ask("GET", "/key");
    let (head, _) = get.head_for("one.s3.example.org", &now());
    let moved = head.replace("one.s3.example.org", "two.s3.example.org");
    assert_ne!(moved, head);
    let reply = exchange(world.address, moved.as_bytes(), b"").await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (403, "SignatureDoesNotMatch")
    );
    let reply = send(&world, "no_name.s3.example.org", ask("GET", "/key")).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (400, "InvalidBucketName")
    );
}

/// Without a domain every host is path style, even one that looks as if it named a bucket.
#[tokio::test]
async fn without_a_domain_the_path_says_it() {
    let world = World::new().await;
    let host = "bucket.s3.example.org";
    assert_eq!(send(&world, host, ask("PUT", "/other")).await.status, 200);
    let listed = send(&world, host, ask("GET", "/")).await;
    assert_eq!(listed.all("Name"), ["other"]);
}
