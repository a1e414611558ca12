//! The operator's own S3 certificate: read at start, and again whenever its files change.
//!
//! ```text
//! both files read, parsed, key belongs to certificate --> served to new connections
//! anything else, at start: refused                         later: logged once, the old one is kept
//! ```
//!
//! The files are looked at every second, by size, time and identity, so that a renewal by any tool is
//! noticed, be it by writing or by renaming. Connections that are open go on as they are. While a renewal is half
//! done its two files do not fit; that is logged, and looked at again when either changes.

use anyhow::{Context, Result, bail};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerConfig;
use rustls::sign::CertifiedKey;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Where the certificate and its key are.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// The chain in PEM, the server's own first.
    pub(crate) certificate: PathBuf,
    /// Its private key in PEM.
    pub(crate) key: PathBuf,
}

/// A certificate that is looked at for as long as this lives.
pub(crate) struct Watched {
    task: JoinHandle<()>,
}

/// What tells one state of the files from another. None: a file is not there.
type Seen = [Option<(u64, u64, i64, i64)>; 2];

impl Files {
    /// TLS with this certificate, for clients that prove themselves otherwise.
    pub(crate) fn load(&self) -> Result<ServerConfig> {
        let builder = ServerConfig::builder().with_no_client_auth();
        let chain = self.chain()?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(anyhow::Error::from);
        let key = key.with_context(|| {
            let path = self.key.display();
            format!("reading {path}; it must hold the private key in PEM, not encrypted")
        })?;
        let pair =
            CertifiedKey::from_der(chain.clone(), key.clone_key(), builder.crypto_provider());
        // This build's provider knows the public key of every key that it can sign with.
        let pair = pair.and_then(|pair| pair.keys_match());
        pair.with_context(|| {
            let (key, certificate) = (self.key.display(), self.certificate.display());
            format!("{key} does not go with the first certificate in {certificate}")
        })?;
        Ok(builder.with_single_cert(chain, key)?)
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>> {
        let path = self.certificate.display();
        let attempt = || -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
            CertificateDer::pem_file_iter(&self.certificate)?.collect()
        };
        let chain = attempt().map_err(anyhow::Error::from);
        let chain =
            chain.with_context(|| format!("reading {path}; it must hold a chain in PEM"))?;
        if chain.is_empty() {
            bail!(
                "{path} holds no certificate; it must hold a chain in PEM, the server's own first"
            );
        }
        Ok(chain)
    }

    fn look(&self) -> Seen {
        let look = |path: &Path| {
            let found = fs::metadata(path).ok()?;
            Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
        };
        [look(&self.certificate), look(&self.key)]
    }
}

/// Loads the certificate, and loads it again whenever its files change.
///
/// # Errors
/// When there is no good pair now.
pub(crate) fn watch(files: Files) -> Result<(Watched, watch::Receiver<Arc<ServerConfig>>)> {
    let seen = files.look();
    let first = files.load().context("loading the S3 certificate")?;
    let (sender, receiver) = watch::channel(Arc::new(first));
    let task = tokio::spawn(follow(files, seen, sender));
    Ok((Watched { task }, receiver))
}

async fn follow(files: Files, mut seen: Seen, sender: watch::Sender<Arc<ServerConfig>>) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = sender.closed() => return,
        }
        // Two short files on the disk that the operator chose: no reason for a thread of its own.
        let now = files.look();
        if now == seen {
            continue;
        }
        seen = now;
        match files.load() {
            Ok(config) => {
                sender.send_replace(Arc::new(config));
                let file = files.certificate.display();
                tracing::info!(%file, "the S3 certificate was changed; new connections see it");
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(
                    error,
                    "the S3 certificate was changed to one that cannot be used; the old one is kept until its files change again"
                );
            }
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn files(folder: &Path) -> Files {
        Files {
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        }
    }

    fn write(files: &Files, certificate: &str, key: &str) {
        fs::write(&files.certificate, certificate).unwrap();
        fs::write(&files.key, key).unwrap();
    }

    /// A pair is used only when it is whole and its parts belong together, and what is wrong is said.
    /// Method: a table of files.
    #[test]
    fn only_a_whole_pair_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let missing = format!("{:#}", files.load().unwrap_err());
        assert!(missing.contains("cert.pem"), "{missing}");
        let ((certificate, key), (other, _)) = (pair(), pair());
        write(&files, &certificate, &key);
        files.load().unwrap();
        write(&files, &format!("{certificate}{other}"), &key);
        files.load().unwrap();
        let half = &certificate[..certificate.len() / 2];
        for (certificate, key, said) in [
            (
                other.as_str(),
                key.as_str(),
                "does not go with the first certificate",
            ),
            ("", &key, "holds no certificate"),
            (half, &key, "cert.pem"),
            (&key, &key, "holds no certificate"),
            (&certificate, "", "must hold the private key"),
            (&certificate, &certificate, "must hold the private key"),
        ] {
            write(&files, certificate, key);
            let error = format!("{:#}", files.load().unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }

    /// New files are served without a restart; broken ones change nothing, and are looked at again.
    /// Method: paused time; change the files and wait for the next look.
    #[tokio::test(start_paused = true)]
    async fn changes_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let ((first, first_key), (second, second_key)) = (pair(), pair());
        write(&files, &first, &first_key);
        let (_watched, mut served) = watch(files.clone()).unwrap();
        let before = served.borrow_and_update().clone();
        for (certificate, key) in [(&second, &first_key), (&String::new(), &second_key)] {
            write(&files, certificate, key);
            tokio::time::sleep(INTERVAL * 3).await;
            assert!(Arc::ptr_eq(&before, &served.borrow_and_update()));
        }
        write(&files, &second, &second_key);
        let changed = tokio::time::timeout(INTERVAL * 3, served.changed());
        changed.await.expect("noticed").expect("watched");
        assert!(!Arc::ptr_eq(&before, &served.borrow_and_update()));
    }
}
