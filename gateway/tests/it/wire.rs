//! An S3 client made of nothing: requests are signed here, written byte by byte, and answers read
//! byte by byte, so that tests can send what no SDK sends.

use crate::cluster::{ACCESS_KEY, SECRET};
use hmac::{Hmac, KeyInit, Mac};
use s3s::dto::{Timestamp, TimestampFormat};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::time::SystemTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request to be signed and sent.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    /// Percent-encoded.
    pub(crate) path: String,
    /// Names and values, not encoded.
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// `x-amz-content-sha256`; none: the body's own.
    pub(crate) payload: Option<String>,
    pub(crate) secret: String,
    pub(crate) access_key: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether `100 Continue` came first.
    pub(crate) continued: bool,
}

pub(crate) fn ask(method: &'static str, path: impl Into<String>) -> Ask {
    Ask {
        method,
        path: path.into(),
        query: Vec::new(),
        headers: Vec::new(),
        body: Vec::new(),
        payload: None,
        secret: SECRET.into(),
        access_key: ACCESS_KEY.into(),
    }
}

/// `/bucket/key` as a client encodes it.
pub(crate) fn path(bucket: &str, key: &str) -> String {
    format!("/{bucket}/{}", encode(key, "/"))
}

fn encode(text: &str, also: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || "-_.~".contains(c) || also.contains(c) {
            encoded.push(c);
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

impl Ask {
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn payload(mut self, payload: &str) -> Self {
        self.payload = Some(payload.into());
        self
    }

    fn canonical_query(&self) -> String {
        let mut pairs: Vec<String> = self
            .query
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name, ""), encode(value, "")))
            .collect();
        pairs.sort();
        pairs.join("&")
    }

    /// The signature of this request at `date`, over `signed` headers in order of name.
    fn sign(&self, date: &str, signed: &[(String, String)], payload: &str) -> String {
        let mut canonical = format!(
            "{}\n{}\n{}\n",
            self.method,
            self.path,
            self.canonical_query()
        );
        for (name, value) in signed {
            canonical.push_str(&format!("{name}:{value}\n"));
        }
        canonical.push_str(&format!("\n{}\n{payload}", names(signed)));
        let hash = hex::encode(Sha256::digest(canonical));
        let scope = scope(date);
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}");
        hex::encode(hmac(&self.signing_key(date), text.as_bytes()))
    }

    pub(crate) fn signing_key(&self, date: &str) -> Vec<u8> {
        let secret = format!("AWS4{}", self.secret);
        let mut key = hmac(secret.as_bytes(), &date.as_bytes()[..8]);
        for part in ["us-east-1", "s3", "aws4_request"] {
            key = hmac(&key, part.as_bytes());
        }
        key
    }

    /// The head of this request, signed in its headers, and the signature.
    pub(crate) fn head(&self, address: SocketAddr, date: &str) -> (String, String) {
        let payload = self
            .payload
            .clone()
            .unwrap_or_else(|| hex::encode(Sha256::digest(&self.body)));
        let mut signed = vec![
            ("host".to_owned(), address.to_string()),
            ("x-amz-content-sha256".to_owned(), payload.clone()),
            ("x-amz-date".to_owned(), date.to_owned()),
        ];
        let mine = self.headers.iter().cloned();
        signed.extend(mine.filter(|(name, _)| name.starts_with("x-amz-")));
        signed.sort();
        let signature = self.sign(date, &signed, &payload);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{},SignedHeaders={},Signature={signature}",
            self.access_key,
            scope(date),
            names(&signed),
        );
        let others = self.headers.iter().cloned();
        let mut all = signed.clone();
        all.extend(others.filter(|(name, _)| !name.starts_with("x-amz-")));
        all.push(("authorization".into(), authorization));
        (self.lines(&all), signature)
    }

    /// The head of this request, signed in its query.
    pub(crate) fn presigned(&self, address: SocketAddr) -> String {
        let date = now();
        let credential = format!("{}/{}", self.access_key, scope(&date));
        let mut ask = self
            .clone()
            .query("X-Amz-Algorithm", "AWS4-HMAC-SHA256")
            .query("X-Amz-Credential", &credential)
            .query("X-Amz-Date", &date)
            .query("X-Amz-Expires", "60")
            .query("X-Amz-SignedHeaders", "host");
        let signed = [("host".to_owned(), address.to_string())];
        let signature = ask.sign(&date, &signed, "UNSIGNED-PAYLOAD");
        ask = ask.query("X-Amz-Signature", &signature);
        let mut all = signed.to_vec();
        all.extend(self.headers.iter().cloned());
        ask.lines(&all)
    }

    /// The head of this request, not signed.
    pub(crate) fn unsigned(&self, address: SocketAddr) -> String {
        let mut all = vec![("host".to_owned(), address.to_string())];
        all.extend(self.headers.iter().cloned());
        self.lines(&all)
    }

    fn lines(&self, headers: &[(String, String)]) -> String {
        let query = self.canonical_query();
        let mark = if query.is_empty() { "" } else { "?" };
        let mut head = format!("{} {}{mark}{query} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let sized = headers
            .iter()
            .any(|(name, _)| name == "content-length" || name == "transfer-encoding");
        if !sized && (self.method == "PUT" || self.method == "POST") {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        head.push_str("connection: close\r\n\r\n");
        head
    }

    /// Signs, sends, and reads the whole answer.
    pub(crate) async fn send(&self, address: SocketAddr) -> Reply {
        let (head, _) = self.head(address, &now());
        exchange(address, head.as_bytes(), &self.body).await
    }
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// All texts between `<name>` and `</name>`.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let pieces = self.text().split(&open).skip(1);
        pieces
            .map(|piece| piece.split(&close).next().unwrap_or_default().to_owned())
            .collect()
    }

    /// The error's code; empty when there is none.
    pub(crate) fn code(&self) -> String {
        self.all("Code").pop().unwrap_or_default()
    }
}

/// Writes a request on a connection of its own, and reads until the server closes it. With `Expect`
/// the body is sent only when it is asked for.
pub(crate) async fn exchange(address: SocketAddr, head: &[u8], body: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).await.expect("listens");
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

/// Writes a request whose body ends too early, and hangs up.
pub(crate) async fn cut(address: SocketAddr, head: &[u8], body: &[u8]) {
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

/// `20261122T210135Z`.
pub(crate) fn now() -> String {
    let mut text = Vec::new();
    Timestamp::from(SystemTime::now())
        .format(TimestampFormat::DateTime, &mut text)
        .expect("a date");
    let text = String::from_utf8(text).expect("ASCII");
    let seconds: String = text
        .chars()
        .take(19)
        .filter(|c| *c != '-' && *c != ':')
        .collect();
    format!("{seconds}Z")
}

fn scope(date: &str) -> String {
    format!("{}/us-east-1/s3/aws4_request", &date[..8])
}

fn names(signed: &[(String, String)]) -> String {
    let names: Vec<&str> = signed.iter().map(|(name, _)| name.as_str()).collect();
    names.join(";")
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// A body in aws-chunks whose signatures follow from `seed`.
pub(crate) fn signed_chunks(ask: &Ask, date: &str, seed: &str, pieces: &[&[u8]]) -> Vec<u8> {
    let key = ask.signing_key(date);
    let nothing = hex::encode(Sha256::digest(b""));
    let mut last = seed.to_owned();
    let mut body = Vec::new();
    for piece in pieces.iter().copied().chain([&b""[..]]) {
        let text = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{date}\n{}\n{last}\n{nothing}\n{}",
            scope(date),
            hex::encode(Sha256::digest(piece)),
        );
        last = hex::encode(hmac(&key, text.as_bytes()));
        body.extend(format!("{:x};chunk-signature={last}\r\n", piece.len()).bytes());
        body.extend(piece);
        body.extend(b"\r\n");
    }
    body
}
