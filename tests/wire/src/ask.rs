//! A request, and its head as it is sent.

use crate::exchange::{Reply, exchange};
use crate::sign::{Signer, names, now, sha256};
use std::net::SocketAddr;

/// A request to be signed and sent.
#[derive(Clone, Debug)]
pub struct Ask {
    /// As in `GET`.
    pub method: &'static str,
    /// Percent-encoded.
    pub path: String,
    /// Names and values, not encoded.
    pub query: Vec<(String, String)>,
    /// Names in lower case. Those that begin with `x-amz-` are signed.
    pub headers: Vec<(String, String)>,
    /// Sent as it is.
    pub body: Vec<u8>,
    /// `x-amz-content-sha256`; none: the body's own.
    pub payload: Option<String>,
    /// Signed with.
    pub access_key: String,
    /// Signed with.
    pub secret: String,
}

/// `/bucket/key` as a client encodes it.
pub fn path(bucket: &str, key: &str) -> String {
    format!("/{bucket}/{}", encode(key, "/"))
}

/// Percent-encodes all but the unreserved characters and those in `also`.
pub fn encode(text: &str, also: &str) -> String {
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
    /// A request with nothing but its path.
    pub fn new(
        method: &'static str,
        path: impl Into<String>,
        access_key: &str,
        secret: &str,
    ) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Vec::new(),
            payload: None,
            access_key: access_key.into(),
            secret: secret.into(),
        }
    }

    /// With a query parameter.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// With a header, its name in lower case.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With a body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// With this in `x-amz-content-sha256`, whatever the body.
    pub fn payload(mut self, payload: &str) -> Self {
        self.payload = Some(payload.into());
        self
    }

    /// What signs this request at `date`.
    pub fn signer(&self, date: &str) -> Signer {
        Signer {
            access_key: self.access_key.clone(),
            secret: self.secret.clone(),
            date: date.into(),
        }
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

    fn sign(&self, date: &str, signed: &[(String, String)], payload: &str) -> String {
        let query = self.canonical_query();
        self.signer(date)
            .request(self.method, &self.path, &query, signed, payload)
    }

    /// The head of this request, signed in its headers, and the signature.
    pub fn head(&self, address: SocketAddr, date: &str) -> (String, String) {
        self.head_for(&address.to_string(), date)
    }

    /// The same for a host of any name.
    pub fn head_for(&self, host: &str, date: &str) -> (String, String) {
        let payload = self.payload.clone().unwrap_or_else(|| sha256(&self.body));
        let mut signed = vec![
            ("host".to_owned(), host.to_owned()),
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
            self.signer(date).scope(),
            names(&signed),
        );
        let others = self.headers.iter().cloned();
        let mut all = signed.clone();
        all.extend(others.filter(|(name, _)| !name.starts_with("x-amz-")));
        all.push(("authorization".into(), authorization));
        (self.lines(&all), signature)
    }

    /// The head of this request, signed in its query. Of its headers only `host` is signed.
    pub fn presigned(&self, address: SocketAddr) -> String {
        let date = now();
        let credential = format!("{}/{}", self.access_key, self.signer(&date).scope());
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
    pub fn unsigned(&self, address: SocketAddr) -> String {
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

    /// Signs, sends on a connection of its own, and reads the whole answer.
    pub async fn send(&self, address: SocketAddr) -> Reply {
        let (head, _) = self.head(address, &now());
        exchange(address, head.as_bytes(), &self.body).await
    }
}
