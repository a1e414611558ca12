//! SIGTERM: drain, then stop.

use crate::scheme::Scheme;
use crate::support::{self, MIB};
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::net::TcpStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use strongroom_tests::{Cluster, Content};
use tokio::sync::mpsc;

/// A stop that nothing holds up is quick, exits with 0, and the next start finds everything; idle
/// connections do not hold it up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_stop_is_quick_and_clean() {
    let mut cluster = Cluster::start("idle-stop").unwrap();
    let client = support::client(&cluster);
    support::make_bucket(&client, "data").await;
    let content = Content::new(4, MIB + 17);
    for round in 0..3 {
        let client = Scheme::turn(round).client(&cluster);
        let key = format!("round-{round}");
        support::put(&client, "data", &key, content)
            .await
            .expect("the upload is accepted");
        let servers = [cluster.endpoints().s3, cluster.endpoints().s3_tls];
        let idle = servers
            .map(|server| TcpStream::connect(server).expect("a connection that says nothing"));
        let asked = Instant::now();
        let status = cluster.stop().unwrap();
        assert_eq!(status.code(), Some(0), "round {round}");
        assert!(
            asked.elapsed() < Duration::from_secs(10),
            "it took {:?} in round {round}",
            asked.elapsed()
        );
        drop(idle);
        cluster.start_again().unwrap();
        let client = support::client(&cluster);
        for earlier in 0..=round {
            support::check(&client, "data", &format!("round-{earlier}"), content)
                .await
                .unwrap();
        }
    }
}

/// An upload and a download that are under way when SIGTERM comes are finished, over http and over https;
/// new ones are not begun; what was acknowledged while draining is there after the restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_is_finished() {
    let mut cluster = Cluster::start("drain").unwrap();
    let client = support::client(&cluster);
    support::make_bucket(&client, "data").await;
    let stored = Content::new(6, 24 * MIB);
    support::put(&client, "data", "stored", stored)
        .await
        .expect("the upload is accepted");

    let content = Content::new(5, 6 * MIB + 3);
    let (pieces, body) = Dripping::new(content.length);
    let upload = tokio::spawn({
        let request = client
            .put_object()
            .bucket("data")
            .key("late")
            .content_length(i64::try_from(content.length).unwrap());
        request
            .body(ByteStream::new(SdkBody::from_body_1_x(body)))
            .send()
    });
    let half = 3 * MIB;
    pieces
        .send(content.range(0..half).into())
        .await
        .expect("the upload takes the first half");
    let mut download = support::get(&Scheme::Https.client(&cluster), "data", "stored")
        .await
        .expect("it is served")
        .body;
    let first = download
        .next()
        .await
        .expect("the first bytes")
        .expect("the first bytes");
    // Sent is not received: what the server holds of the upload is known once its piece was taken.
    pieces
        .reserve()
        .await
        .map(drop)
        .expect("the upload is under way");

    cluster.ask_to_stop().unwrap();
    for server in [cluster.endpoints().s3, cluster.endpoints().s3_tls] {
        strongroom_tests::wait_until(
            "new connections are refused",
            Duration::from_secs(10),
            || TcpStream::connect_timeout(&server, Duration::from_secs(1)).is_err(),
        );
    }
    assert!(cluster.is_alive(), "it left an upload behind");

    pieces
        .send(content.range(half..content.length).into())
        .await
        .expect("the upload takes the rest");
    drop(pieces);
    let outcome = upload.await.unwrap();
    outcome
        .map_err(support::refusal)
        .expect("an upload under way is finished");
    assert_eq!(stored.first_wrong(0, &first), None);
    let mut at = first.len() as u64;
    while let Some(bytes) = download.next().await {
        let bytes = bytes.expect("a download under way is finished");
        assert_eq!(stored.first_wrong(at, &bytes), None);
        at += bytes.len() as u64;
    }
    assert_eq!(at, stored.length);
    assert_eq!(cluster.wait_stopped().unwrap().code(), Some(0));

    cluster.start_again().unwrap();
    let client = support::client(&cluster);
    support::check(&client, "data", "late", content)
        .await
        .unwrap();
    support::check(&client, "data", "stored", stored)
        .await
        .unwrap();
}

/// Two programs never share a data folder: the second says so and ends, the first goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_has_one_owner() {
    let mut cluster = Cluster::start("one-owner").unwrap();
    let second = std::process::Command::new(strongroom_tests::place::program().unwrap())
        .arg("dev")
        .arg("--data")
        .arg(cluster.data())
        .args([
            "--s3",
            "127.0.0.1:0",
            "--s3-tls",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(told.contains("in use"), "{told}");
    assert!(cluster.is_alive());
    support::make_bucket(&support::client(&cluster), "data").await;
}

/// A request body that is sent as the test hands it out.
struct Dripping {
    pieces: mpsc::Receiver<Bytes>,
    left: u64,
}

impl Dripping {
    fn new(length: u64) -> (mpsc::Sender<Bytes>, Self) {
        let (send, pieces) = mpsc::channel(1);
        (
            send,
            Self {
                pieces,
                left: length,
            },
        )
    }
}

impl Body for Dripping {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = std::task::ready!(self.pieces.poll_recv(context));
        self.left -= piece.as_ref().map_or(0, |bytes| bytes.len() as u64);
        Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
