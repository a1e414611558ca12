//! A connection that is kept: heads out, heads and bodies in. Blocking; one request at a time.

use crate::content::Object;
use crate::request::Endpoint;
use anyhow::{Context, Result, bail, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Read at once: several records of TLS, few calls to the kernel, and still in the cache when compared.
const BUFFER: usize = 256 << 10;
/// A server that is silent for so long is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// How to speak TLS with whom one CA vouches for.
pub(crate) fn trust(ca: &Path) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).context("reading the CA")? {
        roots.add(certificate.context("reading the CA")?)?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots);
    Ok(Arc::new(config.with_no_client_auth()))
}

pub(crate) struct Connection {
    stream: Stream,
    buffer: Box<[u8]>,
    /// What was read and not yet used.
    filled: Range<usize>,
}

/// What an answer's head says.
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) length: Option<u64>,
    pub(crate) etag: Option<String>,
    chunked: bool,
    /// The server hangs up behind it.
    pub(crate) closes: bool,
}

impl Connection {
    /// Connects, and shakes hands.
    pub(crate) fn open(endpoint: &Endpoint, tls: Option<&Arc<ClientConfig>>) -> Result<Self> {
        let socket = TcpStream::connect_timeout(&endpoint.address, PATIENCE)
            .with_context(|| format!("connecting to {}", endpoint.address))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let stream = if endpoint.tls {
            let config = tls.context("https needs a CA to trust")?;
            let name = ServerName::from(endpoint.address.ip());
            let mut inner = ClientConnection::new(Arc::clone(config), name)?;
            let mut socket = Buffered::new(socket);
            while inner.is_handshaking() {
                inner.complete_io(&mut socket).context("shaking hands")?;
            }
            Stream::Tls(Box::new(StreamOwned::new(inner, socket)))
        } else {
            Stream::Plain(socket)
        };
        Ok(Self {
            stream,
            buffer: vec![0; BUFFER].into(),
            filled: 0..0,
        })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("sending")
    }

    /// The head of the next answer.
    pub(crate) fn head(&mut self) -> Result<Head> {
        loop {
            let text = &self.buffer[self.filled.clone()];
            if let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = Head::parse(&text[..end])?;
                self.filled.start += end + 4;
                return Ok(head);
            }
            self.more()?;
        }
    }

    /// Reads the body of a good answer, which must be that range of the object; when its first byte was there.
    pub(crate) fn compare(
        &mut self,
        head: &Head,
        pattern: &[u8],
        object: Object,
        range: Range<u64>,
    ) -> Result<Instant> {
        let wanted = range.end - range.start;
        if !matches!(head.status, 200 | 206) || head.length != Some(wanted) {
            let said = self.document(head)?;
            bail!("{} with {:?} bytes: {said}", head.status, head.length);
        }
        let mut at = range.start;
        let mut first = None;
        loop {
            let ready = (self.filled.len() as u64).min(range.end - at);
            if ready > 0 {
                first.get_or_insert_with(Instant::now);
                let bytes = self.take(ready);
                ensure!(
                    object.holds(pattern, at, bytes),
                    "wrong bytes in {} behind {at}",
                    object.key()
                );
                at += ready;
            }
            if at == range.end {
                return first.context("an empty object");
            }
            self.more()?;
        }
    }

    /// Waits for the first byte of a body.
    pub(crate) fn first_byte(&mut self, head: &Head) -> Result<Instant> {
        ensure!(
            head.status == 200,
            "{}: {}",
            head.status,
            self.document(head)?
        );
        if self.filled.is_empty() {
            self.more()?;
        }
        Ok(Instant::now())
    }

    /// The body of an answer that is short.
    pub(crate) fn document(&mut self, head: &Head) -> Result<String> {
        let mut text = Vec::new();
        if head.chunked {
            loop {
                let line = self.line()?;
                let size = line.split(';').next().unwrap_or_default();
                let size = u64::from_str_radix(size.trim(), 16).context("a chunk's size")?;
                self.collect(size, &mut text)?;
                self.line()?;
                if size == 0 {
                    break;
                }
            }
        } else {
            self.collect(head.length.unwrap_or(0), &mut text)?;
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Reads an answer that has nothing to say but its status.
    pub(crate) fn done(&mut self, wanted: u16) -> Result<Head> {
        let head = self.head()?;
        let said = self.document(&head)?;
        ensure!(head.status == wanted, "{}: {said}", head.status);
        Ok(head)
    }

    fn collect(&mut self, mut length: u64, into: &mut Vec<u8>) -> Result<()> {
        while length > 0 {
            if self.filled.is_empty() {
                self.more()?;
            }
            let ready = (self.filled.len() as u64).min(length);
            into.extend_from_slice(self.take(ready));
            length -= ready;
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            self.collect(1, &mut line)?;
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    fn take(&mut self, count: u64) -> &[u8] {
        let from = self.filled.start;
        self.filled.start += usize::try_from(count).expect("what was read");
        &self.buffer[from..self.filled.start]
    }

    fn more(&mut self) -> Result<()> {
        if self.filled.is_empty() {
            self.filled = 0..0;
        }
        ensure!(self.filled.end < BUFFER, "a head that does not end");
        let read = self.stream.read(&mut self.buffer[self.filled.end..]);
        let read = read.context("reading")?;
        ensure!(read > 0, "the server hung up");
        self.filled.end += read;
        Ok(())
    }
}

impl Head {
    fn parse(text: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(text).context("a head in UTF-8")?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let mut head = Self {
            status: status.context("no status")?.parse()?,
            length: None,
            etag: None,
            chunked: false,
            closes: false,
        };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name {
                _ if name.eq_ignore_ascii_case("content-length") => {
                    head.length = Some(value.parse()?);
                }
                _ if name.eq_ignore_ascii_case("etag") => head.etag = Some(value.into()),
                _ if name.eq_ignore_ascii_case("transfer-encoding") => head.chunked = true,
                _ if name.eq_ignore_ascii_case("connection") => {
                    head.closes = value.eq_ignore_ascii_case("close");
                }
                _ => {}
            }
        }
        Ok(head)
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, Buffered>>),
}

impl Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes),
        }
    }
}

/// rustls asks a socket for 4 KiB at a time; this asks the kernel for more.
struct Buffered {
    socket: TcpStream,
    buffer: Box<[u8]>,
    filled: Range<usize>,
}

impl Buffered {
    fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            buffer: vec![0; BUFFER].into(),
            filled: 0..0,
        }
    }
}

impl Read for Buffered {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.filled.is_empty() {
            self.filled = 0..self.socket.read(&mut self.buffer)?;
        }
        let count = into.len().min(self.filled.len());
        into[..count].copy_from_slice(&self.buffer[self.filled.start..][..count]);
        self.filled.start += count;
        Ok(count)
    }
}

impl Write for Buffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
