//! Buckets come and go, and say why they do not.

use crate::cluster::World;
use crate::wire::ask;

/// A bucket is made once, found, listed, and deleted when it is empty.
/// Method: its life, with a second maker and an object in the way.
#[tokio::test]
async fn life_of_a_bucket() {
    let world = World::new().await;
    let at = world.address;
    let code = |reply: crate::wire::Reply| (reply.status, reply.code());
    assert_eq!(ask("HEAD", "/bucket").send(at).await.status, 404);
    let gone = (404, "NoSuchBucket".to_owned());
    assert_eq!(code(ask("GET", "/bucket").send(at).await), gone);
    assert_eq!(code(ask("GET", "/bucket/key").send(at).await), gone);
    assert_eq!(code(ask("PUT", "/bucket/key").send(at).await), gone);
    let elsewhere = "<CreateBucketConfiguration><LocationConstraint>mars-1</LocationConstraint></CreateBucketConfiguration>";
    let reply = ask("PUT", "/bucket").body(elsewhere).send(at).await;
    assert_eq!(reply.code(), "IllegalLocationConstraintException");
    assert_eq!(
        code(ask("PUT", "/Bad_Name").send(at).await),
        (400, "InvalidBucketName".into())
    );

    let made = ask("PUT", "/bucket").send(at).await;
    assert_eq!(
        (made.status, made.header("location")),
        (200, Some("/bucket"))
    );
    let again = (200, String::new());
    assert_eq!(code(ask("PUT", "/bucket").send(at).await), again);
    let head = ask("HEAD", "/bucket").send(at).await;
    assert_eq!(
        (head.status, head.header("x-amz-bucket-region")),
        (200, Some("us-east-1"))
    );
    let location = ask("GET", "/bucket").query("location", "").send(at).await;
    assert!(
        location.text().contains("<LocationConstraint"),
        "{}",
        location.text()
    );
    let other = ask("HEAD", "/bucket").header("x-amz-expected-bucket-owner", "someone");
    assert_eq!(other.send(at).await.status, 403);

    ask("PUT", "/another").send(at).await;
    let listed = ask("GET", "/").send(at).await;
    assert_eq!(listed.all("Name"), ["another", "bucket"]);

    ask("PUT", "/bucket/key").send(at).await;
    let full = (409, "BucketNotEmpty".to_owned());
    assert_eq!(code(ask("DELETE", "/bucket").send(at).await), full);
    assert_eq!(ask("DELETE", "/bucket/key").send(at).await.status, 204);
    assert_eq!(ask("DELETE", "/bucket").send(at).await.status, 204);
    assert_eq!(code(ask("DELETE", "/bucket").send(at).await), gone);
}
