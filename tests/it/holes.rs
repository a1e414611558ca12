//! Holes that other stores of this kind had, tried against this one. Each test is named for what was
//! possible there.

use crate::support;
use aws_sdk_s3::presigning::PresigningConfig;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use strongroom_tests::Content;
use strongroom_wire::{Ask, encode, exchange, now, path};
use walkdir::WalkDir;

/// Access keys and secrets that other stores have, or had, before anybody chose one.
const DEFAULTS: [(&str, &str); 11] = [
    ("minioadmin", "minioadmin"),
    ("minio", "minio123"),
    ("rustfsadmin", "rustfsadmin"),
    ("admin", "admin"),
    ("root", "root"),
    ("root", "password"),
    ("test", "test"),
    ("accessKey1", "verySecretKey1"),
    ("any", "any"),
    (
        "0555b35654ad1656d804",
        "h7GhxuBLTrlhVUyxSPUKUV8r/2EI4ngqJxD7iBdBYLhwluN30JaT3Q==",
    ),
    (
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    ),
];

/// The shared cluster, with a bucket that holds one secret.
async fn place(bucket: &str) -> (SocketAddr, impl Fn(&'static str, &str) -> Ask) {
    let cluster = support::cluster();
    let client = support::client(cluster);
    support::make_bucket(&client, bucket).await;
    let secret = Content::new(7, 2_000);
    support::put(&client, bucket, "secret", secret)
        .await
        .expect("the upload is accepted");
    let keys = cluster.credentials().expect("credentials");
    let ask = move |method, path: &str| Ask::new(method, path, &keys.access_key, &keys.secret_key);
    (cluster.endpoints().s3, ask)
}

/// CVE-2025-68926, CVE-2026-45039: secrets that are the same everywhere. There are none: nobody's default
/// opens this one, and its own are random and long.
#[tokio::test]
async fn default_secrets_do_not_exist() {
    let (at, ask) = place("hole-defaults").await;
    for (access_key, secret) in DEFAULTS {
        for (method, path) in [
            ("GET", "/"),
            ("GET", "/hole-defaults/secret"),
            ("PUT", "/hole-defaults/new"),
        ] {
            let reply = Ask::new(method, path, access_key, secret).send(at).await;
            let told = (reply.status, reply.code());
            assert_eq!(told, (403, "InvalidAccessKeyId".to_owned()), "{access_key}");
        }
    }
    let own = ask("GET", "/");
    for secret in ["", "minioadmin", "password", own.access_key.as_str()] {
        let mut guess = own.clone();
        guess.secret = secret.to_owned();
        assert_eq!(guess.send(at).await.code(), "SignatureDoesNotMatch");
    }
    assert!(own.secret.len() >= 32 && own.access_key.len() >= 16);
    let other = strongroom_tests::Cluster::start("hole-other").expect("another cluster starts");
    let keys = other.credentials().expect("credentials");
    assert_ne!(keys.secret_key, own.secret);
    assert_ne!(keys.access_key, own.access_key);
    let stranger = Ask::new("GET", "/", &keys.access_key, &keys.secret_key);
    assert_eq!(stranger.send(at).await.code(), "InvalidAccessKeyId");
}

/// CVE-2025-68705, CVE-2026-42600: keys that climb out of the store. A key is a name: it leads to its own
/// object and to no other, and no file is called after it.
/// Method: keys that would climb, raw and encoded; the neighbour's object and the files of the cluster.
#[tokio::test]
async fn path_traversal_is_only_a_name() {
    let (at, ask) = place("hole-climb").await;
    support::make_bucket(&support::client(support::cluster()), "hole-target").await;
    let data = support::cluster().data().to_owned();
    let target = ask("PUT", "/hole-target/secret")
        .body("theirs")
        .send(at)
        .await;
    assert_eq!(target.status, 200);
    let mark = "strongroom-hole-mark";
    let keys = [
        format!("../hole-target/{mark}"),
        format!("../../../../../../../../tmp/{mark}"),
        format!("a/../../hole-target/{mark}"),
        format!("./{mark}"),
        format!("..\\..\\{mark}"),
        format!("/{mark}"),
        format!("//tmp//{mark}"),
        format!("%2e%2e/%2e%2e/{mark}"),
        format!("..%2f..%2f{mark}"),
        format!("\u{0}/{mark}"),
        format!("../hole-target/{mark}\u{0}.txt"),
        "../hole-target/secret".to_owned(),
        "..".to_owned(),
        ".".to_owned(),
    ];
    for key in &keys {
        let path = path("hole-climb", key);
        let put = ask("PUT", &path).body(key.as_str()).send(at).await;
        assert_eq!(put.status, 200, "{key:?}: {}", put.text());
        let got = ask("GET", &path).send(at).await;
        assert_eq!(got.body, key.as_bytes(), "{key:?}");
    }
    let listed = ask("GET", "/hole-climb")
        .query("encoding-type", "url")
        .send(at)
        .await;
    let mut expected: Vec<String> = keys.iter().map(|key| encode(key, "/")).collect();
    expected.push("secret".to_owned());
    expected.sort();
    let mut names = listed.all("Key");
    names.sort();
    assert_eq!(names, expected);
    let target = ask("GET", "/hole-target").send(at).await;
    assert_eq!(target.all("Key"), ["secret"]);
    let target = ask("GET", "/hole-target/secret").send(at).await;
    assert_eq!(target.body, b"theirs");
    assert_eq!(named(&data, mark), [] as [PathBuf; 0]);
    assert!(!Path::new("/tmp").join(mark).exists());
    for key in &keys {
        let deleted = ask("DELETE", &path("hole-climb", key)).send(at).await;
        assert_eq!(deleted.status, 204, "{key:?}");
    }
    let left = ask("GET", "/hole-climb").send(at).await;
    assert_eq!(left.all("Key"), ["secret"]);
}

/// Files and directories under `root` whose name holds `mark`.
fn named(root: &Path, mark: &str) -> Vec<PathBuf> {
    let entries = WalkDir::new(root).into_iter().filter_map(Result::ok);
    entries
        .filter(|entry| entry.file_name().to_string_lossy().contains(mark))
        .map(|entry| entry.path().to_owned())
        .collect()
}

/// CVE-2025-31489: a body with an unsigned trailer was taken without looking at the request's signature.
/// Method: such a body under no signature, a wrong secret, an unknown key, an altered signature and another
/// key of the bucket's; then under the right one.
#[tokio::test]
async fn unsigned_trailers_do_not_lift_the_signature() {
    let (at, ask) = place("hole-trailer").await;
    let body = "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";
    let put = ask("PUT", "/hole-trailer/new")
        .payload("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
        .header("x-amz-decoded-content-length", "5")
        .header("x-amz-trailer", "x-amz-checksum-crc32")
        .body(body);
    let mut wrong = put.clone();
    wrong.secret = "w".repeat(40);
    let mut unknown = put.clone();
    unknown.access_key = "AKIAUNKNOWNUNKNOWN00".to_owned();
    let (right, signature) = put.head(at, &now());
    let altered = right.replace(&signature, &"0".repeat(64));
    let elsewhere = right.replace("PUT /hole-trailer/new", "PUT /hole-trailer/secret");
    let unsigned = put
        .clone()
        .header("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    for (head, code) in [
        (unsigned.unsigned(at), "AccessDenied"),
        (wrong.head(at, &now()).0, "SignatureDoesNotMatch"),
        (unknown.head(at, &now()).0, "InvalidAccessKeyId"),
        (altered, "SignatureDoesNotMatch"),
        (elsewhere, "SignatureDoesNotMatch"),
        (unsigned.presigned(at), "AccessDenied"),
    ] {
        let reply = exchange(at, head.as_bytes(), body.as_bytes()).await;
        // A URL cannot carry such a body at all.
        let told = (reply.status, reply.code());
        let refused = [(403, code.to_owned()), (501, "NotImplemented".to_owned())];
        assert!(refused.contains(&told), "{head}: {told:?}");
    }
    let listed = ask("GET", "/hole-trailer").send(at).await;
    assert_eq!(listed.all("Key"), ["secret"]);
    let reply = exchange(at, right.as_bytes(), body.as_bytes()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let stored = ask("GET", "/hole-trailer/new").send(at).await;
    assert_eq!(stored.body, b"hello");
}

/// GHSA-g8w9-qw9q-fghr, GHSA-xm99-m3gq-83g8: `x-amz-copy-source` beside a presigned upload copied as the
/// signer what the uploader could not read. Unsigned, it is refused, beside a signed request, too.
/// Method: the header, and others that would widen an upload, beside a URL of the SDK's and a signed head.
#[tokio::test]
async fn an_unsigned_copy_source_copies_nothing() {
    let (at, ask) = place("hole-copy").await;
    let client = support::client(support::cluster());
    let hour = PresigningConfig::expires_in(Duration::from_secs(3600)).expect("an hour");
    let url = client.put_object().bucket("hole-copy").key("new");
    let url = url.presigned(hour).await.expect("presigned");
    let target = url.uri().split_once("/hole-copy").expect("path style").1;
    let mark = "connection: close\r\n";
    let presigned =
        format!("PUT /hole-copy{target} HTTP/1.1\r\nhost: {at}\r\ncontent-length: 0\r\n{mark}\r\n");
    let (signed, _) = ask("PUT", "/hole-copy/new").head(at, &now());
    for unsigned in [
        "x-amz-copy-source: /hole-copy/secret",
        "X-Amz-Copy-Source: hole-copy%2Fsecret",
        "x-amz-metadata-directive: REPLACE",
        "x-amz-tagging: a=b",
        "x-amz-meta-owner: nobody",
        "x-amz-acl: private",
    ] {
        for head in [&presigned, &signed] {
            let head = head.replacen(mark, &format!("{unsigned}\r\n{mark}"), 1);
            let reply = exchange(at, head.as_bytes(), b"").await;
            let told = (reply.status, reply.code());
            assert_eq!(told, (403, "AccessDenied".to_owned()), "{unsigned}");
        }
    }
    let listed = ask("GET", "/hole-copy").send(at).await;
    assert_eq!(listed.all("Key"), ["secret"]);
}
