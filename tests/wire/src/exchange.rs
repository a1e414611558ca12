//! Sending a request as bytes, and reading its answer.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// As in `403`.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As it came, without undoing a transfer coding.
    pub body: Vec<u8>,
    /// Whether `100 Continue` came first.
    pub continued: bool,
}

impl Reply {
    /// The first header of this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    ///
    /// # Panics
    /// When it is none.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// All texts between `<name>` and `</name>`.
    pub fn all(&self, name: &str) -> Vec<String> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let pieces = self.text().split(&open).skip(1);
        pieces
            .map(|piece| piece.split(&close).next().unwrap_or_default().to_owned())
            .collect()
    }

    /// The error's code; empty when there is none.
    pub fn code(&self) -> String {
        self.all("Code").pop().unwrap_or_default()
    }
}

/// Writes a request on a connection of its own, and reads until the server closes it. With `Expect`
/// the body is sent only when it is asked for.
///
/// # Panics
/// When nobody listens, or what comes is no answer.
pub async fn exchange(address: SocketAddr, head: &[u8], body: &[u8]) -> Reply {
    let stream = TcpStream::connect(address).await.expect("listens");
    exchange_on(stream, head, body).await
}

/// The same over a stream that stands: one inside TLS, say.
///
/// # Panics
/// When what comes is no answer.
pub async fn exchange_on(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    head: &[u8],
    body: &[u8],
) -> Reply {
    stream.write_all(head).await.expect("takes the head");
    let expects = head
        .windows(12)
        .any(|w| w.eq_ignore_ascii_case(b"100-continue"));
    let mut continued = false;
    let mut bytes = Vec::new();
    if expects {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.expect("answers");
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
        continued = piece[..read].starts_with(interim);
        let skip = if continued { interim.len() } else { 0 };
        bytes.extend_from_slice(&piece[skip..read]);
    }
    if !expects || continued {
        // The server may answer, and close, before it has all.
        let _ = stream.write_all(body).await;
    }
    let _ = stream.read_to_end(&mut bytes).await;
    Reply {
        continued,
        ..parse(&bytes)
    }
}

/// Writes what may be no request at all, and reads one answer if there is one. Once nothing has come for
/// `patience` it says that nothing more will follow; a server that then neither answers nor hangs up within
/// `limit` hangs.
///
/// # Panics
/// When nobody listens, or the server hangs.
pub async fn try_exchange(
    address: SocketAddr,
    request: &[u8],
    patience: Duration,
    limit: Duration,
) -> Option<Reply> {
    let stream = TcpStream::connect(address).await.expect("listens");
    let (mut from, mut to) = stream.into_split();
    // The server may answer, and close, before it has all.
    let _ = to.write_all(request).await;
    let mut to = Some(to);
    let mut bytes = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        let wait = if to.is_some() { patience } else { limit };
        match timeout(wait, from.read(&mut piece)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(read)) => bytes.extend_from_slice(&piece[..read]),
            // Dropped, it is closed for writing.
            Err(_) => drop(to.take().expect("the server does not hang")),
        }
        if is_whole(&bytes) {
            break;
        }
    }
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    head.map(|_| parse(&bytes))
}

/// Whether an answer has come to its end, as far as its length says.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let reply = parse(bytes);
    let length = reply
        .header("content-length")
        .and_then(|text| text.parse().ok());
    length.is_some_and(|length: usize| bytes.len() >= end + 4 + length)
}

/// Writes a request whose body ends too early, and hangs up.
///
/// # Panics
/// When nobody listens.
pub async fn cut(address: SocketAddr, head: &[u8], body: &[u8]) {
    let mut stream = TcpStream::connect(address).await.expect("listens");
    stream.write_all(head).await.expect("takes the head");
    stream
        .write_all(body)
        .await
        .expect("takes some of the body");
    stream.shutdown().await.expect("hangs up");
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

fn parse(bytes: &[u8]) -> Reply {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer in {} bytes", bytes.len()));
    let head = std::str::from_utf8(&bytes[..end]).expect("a head is text");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let header = |line: &str| {
        let (name, value) = line.split_once(':').expect("a header");
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    Reply {
        status: status.and_then(|code| code.parse().ok()).expect("a status"),
        headers: lines.map(header).collect(),
        body: bytes[end + 4..].to_vec(),
        continued: false,
    }
}
