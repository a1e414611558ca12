//! What must never be seen on a disk or in a log.

use crate::accounts;
use crate::scheme::Scheme;
use crate::support::{self, MIB};
use aws_sdk_s3::primitives::ByteStream;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use strongroom_tests::{Cluster, Dice};

/// A text that occurs nowhere else.
struct Marker {
    name: &'static str,
    text: String,
}

impl Marker {
    fn new(name: &'static str, dice: &mut Dice) -> Self {
        let text = format!("mark{:016x}{:016x}", dice.next_word(), dice.next_word());
        Self { name, text }
    }

    /// How it might be written: plain, in hexadecimal, in base 64 at each of the three alignments.
    fn spellings(&self) -> Vec<Vec<u8>> {
        spellings(self.text.as_bytes())
    }
}

fn spellings(secret: &[u8]) -> Vec<Vec<u8>> {
    let hexadecimal: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut all = vec![
        secret.to_vec(),
        hexadecimal.to_uppercase().into_bytes(),
        hexadecimal.into_bytes(),
    ];
    all.extend((0..3).map(|skip| base64(&secret[skip..secret.len() - (secret.len() - skip) % 3])));
    all
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = three
            .iter()
            .fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| ALPHABET[bits >> shift & 63])
    };
    bytes.chunks_exact(3).flat_map(group).collect()
}

/// No plaintext, no user metadata and no secret of an access key is in any file or log line, no object name in the metadata log or a
/// snapshot, and no key outside its own file, which nobody else may read.
/// Method: markers planted in a name, in metadata, in an inline body and in a chunked one, and keys made and
/// used; every file and the log are searched after a stop, and again after a kill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markers_are_nowhere() {
    let (mut dice, _) = Dice::announced("secrets");
    let mut cluster = Cluster::start("secrets").unwrap();
    let client = support::client(&cluster);
    support::make_bucket(&client, "data").await;
    let name = Marker::new("object name", &mut dice);
    let hidden = [
        Marker::new("metadata value", &mut dice),
        Marker::new("metadata name", &mut dice),
        Marker::new("content type", &mut dice),
        Marker::new("inline body", &mut dice),
        Marker::new("chunked body", &mut dice),
    ];
    let inline = hidden[3].text.repeat(10).into_bytes();
    let chunked = hidden[4]
        .text
        .repeat(usize::try_from(9 * MIB).unwrap() / hidden[4].text.len())
        .into_bytes();
    let keys = [
        format!("{}/inline", name.text),
        format!("{}/chunked", name.text),
    ];
    let mut hidden = Vec::from(hidden);
    let made = accounts::make_key(&cluster, "root");
    let rotated = accounts::json(
        &cluster,
        &["key", "rotate", &made.id, "--keep-old", "--json"],
    );
    for (name, key) in [
        ("secret of a key", made),
        ("secret of a rotated key", accounts::Key::of(&rotated)),
    ] {
        support::client_as(&cluster, Scheme::Http, &key.id, &key.secret)
            .list_buckets()
            .send()
            .await
            .expect("the key works");
        let text = key.secret;
        hidden.push(Marker { name, text });
    }
    let over_https = Scheme::Https.client(&cluster);
    for (key, body) in keys.iter().zip([&inline, &chunked]) {
        let request = over_https
            .put_object()
            .bucket("data")
            .key(key)
            .body(ByteStream::from(body.clone()));
        let request = request
            .metadata("owner", &hidden[0].text)
            .metadata(&hidden[1].text, "x");
        request
            .content_type(format!("application/{}", hidden[2].text))
            .send()
            .await
            .expect("it is accepted");
    }
    // Every way to a log line: reads, listings, refusals.
    for client in [&client, &over_https] {
        support::list(client, "data", &name.text)
            .await
            .expect("it is listed");
        support::get(client, "data", &format!("{}/missing", name.text))
            .await
            .expect_err("it is missing");
    }
    for (key, body) in keys.iter().zip([&inline, &chunked]) {
        let got = support::get(&client, "data", key)
            .await
            .expect("it is there");
        assert_eq!(got.metadata().unwrap()["owner"], hidden[0].text);
        assert!(got.body.collect().await.unwrap().to_vec() == *body, "{key}");
    }
    assert!(cluster.stop().unwrap().success());
    search(&cluster, &name, &hidden);
    cluster.start_again().unwrap();
    let client = support::client(&cluster);
    client
        .put_object()
        .bucket("data")
        .key(&keys[0])
        .body(ByteStream::from(inline))
        .send()
        .await
        .expect("it is accepted");
    cluster.kill().unwrap();
    search(&cluster, &name, &hidden);
}

fn search(cluster: &Cluster, name: &Marker, hidden: &[Marker]) {
    let keys = key_material(cluster);
    let mut files: Vec<PathBuf> = walkdir::WalkDir::new(cluster.data())
        .into_iter()
        .map(|entry| entry.expect("the data folder is readable"))
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .collect();
    files.push(cluster.log().to_owned());
    let (mut searched, mut disks) = (0, 0);
    for path in &files {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        searched += bytes.len();
        disks += usize::from(
            path.strip_prefix(cluster.data())
                .is_ok_and(|path| path.starts_with("disk-0")),
        );
        for marker in hidden {
            refuse(path, &bytes, marker.name, &marker.spellings());
        }
        // The store of the metadata is a cache on a volume that the host encrypts; it may hold names.
        if !in_cache(path) {
            refuse(path, &bytes, name.name, &name.spellings());
        }
        for (own, secret) in keys.iter().filter(|(own, _)| own != path) {
            refuse(path, &bytes, &own.display().to_string(), &spellings(secret));
        }
    }
    eprintln!(
        "searched {} files, {searched} bytes, for {} markers and {} keys",
        files.len(),
        hidden.len() + 1,
        keys.len()
    );
    assert!(
        searched > 13_000_000 && files.len() > 12 && disks > 0,
        "too little was searched: {files:?}"
    );
}

fn refuse(path: &Path, bytes: &[u8], what: &str, spellings: &[Vec<u8>]) {
    for spelling in spellings {
        if let Some(place) = memchr::memmem::find(bytes, spelling) {
            panic!("{what} is at byte {place} of {}", path.display());
        }
    }
}

fn in_cache(path: &Path) -> bool {
    path.ancestors().any(crate::cache::is_store)
}

/// What is in the files that hold secrets, each of which must exist and be its owner's alone.
fn key_material(cluster: &Cluster) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let credentials = cluster.data().join("credentials");
    found.push((
        credentials,
        cluster.credentials().unwrap().secret_key.into_bytes(),
    ));
    for name in ["root.key", "tls/ca-key.pem", "tls/operator.pem"] {
        let path = cluster.data().join(name);
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // Of a PEM file, the lines that are its own; of a key file, all of it.
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let lines = text
            .lines()
            .skip_while(|line| !line.contains("PRIVATE KEY"))
            .skip(2);
        let secret = match lines.take(1).next() {
            Some(line) => line.trim().as_bytes().to_vec(),
            None => bytes,
        };
        assert!(
            secret.len() >= 32,
            "{} holds {} bytes",
            path.display(),
            secret.len()
        );
        found.push((path, secret));
    }
    for (path, _) in &found {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
    }
    found
}
