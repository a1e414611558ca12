//! Access control lists: what a bucket holds is its owner's, and a client may say so.

use crate::cluster::{FOREIGN_KEY, HIGH_KEY, OTHER_KEY, World};
use crate::wire::{Ask, Reply, ask};

const FULL: &str = "FULL_CONTROL";

fn told(reply: &Reply) -> (u16, String) {
    let code = if reply.body.is_empty() {
        String::new()
    } else {
        reply.code()
    };
    (reply.status, code)
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn list(owner: &str, grants: &[(&str, &str)]) -> String {
    let grant = |(to, permission): &(&str, &str)| {
        format!(
            "<Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
             xsi:type=\"CanonicalUser\"><ID>{to}</ID></Grantee><Permission>{permission}</Permission></Grant>"
        )
    };
    let grants: String = grants.iter().map(grant).collect();
    format!(
        "<AccessControlPolicy xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Owner><ID>{owner}</ID></Owner>\
         <AccessControlList>{grants}</AccessControlList></AccessControlPolicy>"
    )
}

async fn world() -> World {
    let world = World::new().await;
    ask("PUT", "/bucket").send(world.address).await;
    let put = ask("PUT", "/bucket/key").body("hello");
    assert_eq!(put.send(world.address).await.status, 200);
    world
}

fn acl(method: &'static str, path: &str) -> Ask {
    ask(method, path).query("acl", "")
}

/// Listings name the owner as its list does, where they name one.
/// Method: each listing.
#[tokio::test]
async fn listings_name_the_owner() {
    let world = world().await;
    let id = world.user_id("tester").await;
    let objects = || ask("GET", "/bucket");
    let second = || objects().query("list-type", "2");
    for (listing, named) in [
        (objects(), true),
        (objects().query("versions", ""), true),
        (second().query("fetch-owner", "true"), true),
        (second(), false),
    ] {
        let shown = listing.send(world.address).await;
        let expected = |text: &str| vec![text.to_owned(); usize::from(named)];
        assert_eq!(shown.all("DisplayName"), expected("tester"));
        assert_eq!(shown.all("ID"), expected(&id));
    }
}

/// A list names the owner alone; to whom a bucket is not shown, its list is not either.
/// Method: the lists of a bucket and of an object, for the owner and for others.
#[tokio::test]
async fn lists_name_the_owner() {
    let world = world().await;
    let at = world.address;
    let id = world.user_id("tester").await;
    for path in ["/bucket", "/bucket/key"] {
        let shown = acl("GET", path).send(at).await;
        assert_eq!(shown.status, 200, "{}", shown.text());
        assert_eq!(shown.all("ID"), [id.as_str(), id.as_str()], "{path}");
        assert_eq!(shown.all("DisplayName"), ["tester", "tester"]);
        assert_eq!(shown.all("Permission"), [FULL]);
        assert!(shown.text().contains("xsi:type=\"CanonicalUser\""));
        for (key, expected) in [
            (OTHER_KEY, is(403, "AccessDenied")),
            (FOREIGN_KEY, is(404, "NoSuchBucket")),
        ] {
            for method in ["GET", "PUT"] {
                let mut foreign = acl(method, path);
                if method == "PUT" {
                    foreign = foreign.header("x-amz-acl", "private");
                }
                foreign.access_key = key.into();
                assert_eq!(told(&foreign.send(at).await), expected, "{method} {path}");
            }
        }
        let mut above = acl("PUT", path).header("x-amz-acl", "private");
        above.access_key = HIGH_KEY.into();
        assert_eq!(told(&above.send(at).await), is(403, "AccessDenied"));
    }
    for (path, code) in [("/bucket/none", "NoSuchKey"), ("/none", "NoSuchBucket")] {
        assert_eq!(told(&acl("GET", path).send(at).await), is(404, code));
        let put = acl("PUT", path).header("x-amz-acl", "private");
        assert_eq!(told(&put.send(at).await), is(404, code));
    }
}

/// A client that asks for what holds anyway is obeyed; one that would share is refused, and what it sends is
/// not stored.
/// Method: canned lists on everything that takes them; grants in headers.
#[tokio::test]
async fn canned_lists_share_nothing() {
    let world = world().await;
    let at = world.address;
    let requests = || {
        [
            ask("PUT", "/new"),
            ask("PUT", "/bucket/new").body("x"),
            ask("PUT", "/bucket/new").header("x-amz-copy-source", "/bucket/key"),
            ask("POST", "/bucket/new").query("uploads", ""),
            acl("PUT", "/bucket"),
            acl("PUT", "/bucket/key"),
        ]
    };
    for (name, value, expected) in [
        ("x-amz-acl", "public-read", is(501, "NotImplemented")),
        ("x-amz-acl", "authenticated-read", is(501, "NotImplemented")),
        ("x-amz-acl", "bucket-owner-read", is(501, "NotImplemented")),
        ("x-amz-acl", "everyone", is(400, "InvalidArgument")),
        ("x-amz-grant-read", "id=\"x\"", is(501, "NotImplemented")),
        (
            "x-amz-grant-full-control",
            "id=\"x\"",
            is(501, "NotImplemented"),
        ),
    ] {
        for request in requests() {
            let what = format!("{} {} {name}: {value}", request.method, request.path);
            let reply = request.header(name, value).send(at).await;
            assert_eq!(told(&reply), expected, "{what}");
        }
        let stored = ask("GET", "/bucket/new").send(at).await;
        assert_eq!(told(&stored), is(404, "NoSuchKey"), "{name}: {value}");
        let made = ask("GET", "/new").send(at).await;
        assert_eq!(told(&made), is(404, "NoSuchBucket"), "{name}: {value}");
    }
    for value in ["private", "bucket-owner-full-control"] {
        for request in requests() {
            let what = format!("{} {} {value}", request.method, request.path);
            let reply = request.header("x-amz-acl", value).send(at).await;
            assert_eq!(reply.status, 200, "{what}: {}", reply.text());
        }
    }
}

/// The list that is shown may be given back; no other, and not two at once.
/// Method: documents for a bucket and for an object.
#[tokio::test]
async fn lists_are_given_back() {
    let world = world().await;
    let at = world.address;
    let (me, you) = (
        world.user_id("tester").await,
        world.user_id("neighbour").await,
    );
    let mine = list(&me, &[(&me, FULL)]);
    for path in ["/bucket", "/bucket/key"] {
        let shown = acl("GET", path).send(at).await;
        for (body, expected) in [
            (mine.clone(), is(200, "")),
            (shown.text().to_owned(), is(200, "")),
            (
                list(&me, &[(&me, FULL), (&you, "READ")]),
                is(501, "NotImplemented"),
            ),
            (list(&me, &[(&me, "READ")]), is(501, "NotImplemented")),
            (list(&me, &[]), is(501, "NotImplemented")),
            (
                list(&me, &[(&me, FULL), ("_you", FULL)]),
                is(400, "InvalidArgument"),
            ),
            (list(&you, &[(&me, FULL)]), is(403, "AccessDenied")),
            ("<AccessControlPolicy>".into(), is(400, "MalformedACLError")),
            ("<Tagging/>".into(), is(400, "MalformedACLError")),
            (String::new(), is(400, "MissingSecurityHeader")),
        ] {
            let reply = acl("PUT", path).body(body.clone()).send(at).await;
            assert_eq!(told(&reply), expected, "{path} {body}");
        }
        let both = acl("PUT", path).header("x-amz-acl", "private");
        let reply = both.body(mine.clone()).send(at).await;
        assert_eq!(told(&reply), is(400, "UnexpectedContent"), "{path}");
        let wrong = acl("PUT", path).header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==");
        let reply = wrong.body(mine.clone()).send(at).await;
        assert_eq!(told(&reply), is(400, "BadDigest"), "{path}");
        let after = acl("GET", path).send(at).await;
        assert_eq!(after.all("Permission"), [FULL]);
    }
}

/// No object has a torrent.
#[tokio::test]
async fn there_are_no_torrents() {
    let world = world().await;
    for path in ["/bucket/key", "/bucket/none"] {
        let reply = ask("GET", path)
            .query("torrent", "")
            .send(world.address)
            .await;
        assert_eq!(told(&reply), is(404, "NoSuchKey"));
    }
}
