//! Uploads as clients frame them. What a client computes of a body is computed before the clock starts: it is
//! the server that is measured.

use crate::connection::{Connection, Head};
use crate::content::Object;
use crate::job::Framing;
use crate::request::{Endpoint, UNSIGNED};
use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, Digest};
use sha2::{Digest as _, Sha256};
use std::ops::Range;

/// botocore's chunks (`AwsChunkedWrapper`).
const CHUNK: u64 = 1 << 20;

/// A body, and what its request says of it.
pub(crate) struct Upload {
    pub(crate) path: String,
    pub(crate) query: String,
    object: Object,
    range: Range<u64>,
    /// None: sent as it is, and not hashed.
    hashed: Option<Hashed>,
}

struct Hashed {
    sha256: String,
    crc32: String,
}

impl Upload {
    pub(crate) fn new(
        pattern: &[u8],
        (path, query): (String, String),
        object: Object,
        range: Range<u64>,
        framing: Framing,
    ) -> Self {
        let hashed = (framing == Framing::Boto).then(|| {
            let (mut sha256, mut crc) = (Sha256::new(), Digest::new(CrcAlgorithm::Crc32IsoHdlc));
            for piece in object.pieces(range.clone()) {
                sha256.update(&pattern[piece.clone()]);
                crc.update(&pattern[piece]);
            }
            let crc = crc.finalize().to_be_bytes();
            Hashed {
                sha256: hex::encode(sha256.finalize()),
                crc32: STANDARD.encode(&crc[4..]),
            }
        });
        Self {
            path,
            query,
            object,
            range,
            hashed,
        }
    }

    pub(crate) fn length(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Sends it, and reads the answer.
    pub(crate) fn send(
        &self,
        connection: &mut Connection,
        endpoint: &Endpoint,
        pattern: &[u8],
    ) -> Result<Head> {
        let length = self.length().to_string();
        let ask = |headers: &[(&str, &str)], payload: &str| {
            endpoint.head("PUT", &self.path, &self.query, headers, payload)
        };
        match &self.hashed {
            None => {
                let head = ask(&[("content-length", length.as_str())], UNSIGNED);
                connection.send(head.as_bytes())?;
                self.plainly(connection, pattern, self.range.clone())?;
            }
            Some(hashed) if endpoint.tls => {
                let headers = [
                    ("content-encoding", "aws-chunked"),
                    ("expect", "100-continue"),
                    ("transfer-encoding", "chunked"),
                    ("x-amz-decoded-content-length", length.as_str()),
                    ("x-amz-sdk-checksum-algorithm", "CRC32"),
                    ("x-amz-trailer", "x-amz-checksum-crc32"),
                ];
                let head = ask(&headers, "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
                wanted(connection, &head)?;
                self.in_chunks(connection, pattern, &hashed.crc32)?;
            }
            Some(hashed) => {
                let headers = [
                    ("content-length", length.as_str()),
                    ("expect", "100-continue"),
                    ("x-amz-checksum-crc32", hashed.crc32.as_str()),
                    ("x-amz-sdk-checksum-algorithm", "CRC32"),
                ];
                wanted(connection, &ask(&headers, &hashed.sha256))?;
                self.plainly(connection, pattern, self.range.clone())?;
            }
        }
        connection.done(200)
    }

    fn plainly(
        &self,
        connection: &mut Connection,
        pattern: &[u8],
        range: Range<u64>,
    ) -> Result<()> {
        for piece in self.object.pieces(range) {
            connection.send(&pattern[piece])?;
        }
        Ok(())
    }

    /// An aws-chunk in each chunk of the transfer coding, as urllib3 writes what botocore gives it.
    fn in_chunks(&self, connection: &mut Connection, pattern: &[u8], crc32: &str) -> Result<()> {
        let mut at = self.range.start;
        let mut before = "";
        while at < self.range.end {
            let end = self.range.end.min(at + CHUNK);
            let inner = format!("{:x}\r\n", end - at);
            let outer = end - at + inner.len() as u64 + 2;
            connection.send(format!("{before}{outer:x}\r\n{inner}").as_bytes())?;
            self.plainly(connection, pattern, at..end)?;
            before = "\r\n\r\n";
            at = end;
        }
        let last = format!("0\r\nx-amz-checksum-crc32:{crc32}\r\n\r\n");
        let last = format!("{before}{:x}\r\n{last}\r\n0\r\n\r\n", last.len());
        connection.send(last.as_bytes())
    }
}

/// Sends a head, and waits until its body is asked for.
fn wanted(connection: &mut Connection, head: &str) -> Result<()> {
    connection.send(head.as_bytes())?;
    let answer = connection.head()?;
    ensure!(
        answer.status == 100,
        "{} instead of 100: {}",
        answer.status,
        connection.document(&answer)?
    );
    Ok(())
}
