//! A process's own certificate, renewed before it expires.
//!
//! ```text
//! every hour: less left than it should be? --> key made --> certificate for it --> file, whole --> new connections
//! not valid by this machine's clock: every five seconds
//! ```
//!
//! A clock that is wrong must not cost the certificate. What was signed is taken only if it is valid by this machine's
//! clock, too; and a server that signs does so only if others confirm its own (`Registrar::confirm_wall`). A metadata
//! server whose certificate has run out by its own clock signs itself another all the same, since a cluster that was
//! off for months has to start: if it was its clock, that one is replaced as soon as the clock is right.
//!
//! The file is that of the configuration, which must hold key and certificate; it is written durably before the new
//! certificate is presented, so that a restart finds what the others have seen. What fails is tried again an hour
//! later, and is told: there are weeks for it.

use crate::files;
use anyhow::{Context, Result, ensure};
use ca::{Credentials, Request};
use futures::future::BoxFuture;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use types::wire::Enrolment;

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(3600);
/// And while it is not valid.
const LOOK_SOON: Duration = Duration::from_secs(5);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// A certificate is renewed when it is valid for less than so many days.
pub(super) const DEFAULT_DAYS: u32 = 30;

/// Who signs: a request, and the names in the certificate.
pub(super) type Signer =
    Box<dyn Fn(Vec<u8>, Vec<String>) -> BoxFuture<'static, Result<String>> + Send + Sync>;

/// A certificate that is renewed for as long as this lives.
pub(super) struct Renewed(JoinHandle<()>);

/// Which certificate.
pub(super) struct Certificate {
    pub(super) file: PathBuf,
    /// Another file than the certificate's: then it is not ours to write.
    pub(super) key_apart: bool,
    pub(super) credentials: Credentials,
    /// With less left it is renewed.
    pub(super) days: u32,
}

/// The metadata servers as the signer.
pub(super) fn by_servers<T: Enrolment>(servers: Arc<T>) -> Signer {
    Box::new(move |request, names| {
        let servers = Arc::clone(&servers);
        Box::pin(async move { Ok(servers.renew(request, names).await?) })
    })
}

/// Renews it from now on.
pub(super) fn keep(certificate: Certificate, signer: Signer) -> Renewed {
    Renewed(tokio::spawn(async move {
        loop {
            match certificate.look(&signer).await {
                Ok(true) => {
                    let file = certificate.file.display();
                    tracing::info!(%file, "the certificate was renewed; new connections see it");
                }
                Ok(false) => {}
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "the certificate expires soon and was not renewed");
                }
            }
            // What the clock shows may change at any time.
            let looked = Instant::now();
            while looked.elapsed() < LOOK && certificate.is_valid() {
                tokio::time::sleep(LOOK_SOON).await;
            }
            if !certificate.is_valid() {
                complain(&certificate.file);
                tokio::time::sleep(LOOK_SOON).await;
            }
        }
    }))
}

fn complain(file: &Path) {
    tracing::error!(
        file = %file.display(),
        now = %time::OffsetDateTime::now_utc(),
        "this server's certificate is not valid at the time that its clock shows: others refuse it, and it refuses \
         theirs; is the clock right?"
    );
}

impl Certificate {
    /// Whether it is valid by this machine's clock; so is one that cannot be read, of which others complain.
    fn is_valid(&self) -> bool {
        let holding = ca::holding(&self.credentials.certificate());
        holding.is_ok_and(|holding| holding.valid)
    }

    /// Whether it had to be renewed, and was.
    async fn look(&self, signer: &Signer) -> Result<bool> {
        let holding = ca::holding(&self.credentials.certificate())?;
        if holding.left > DAY * self.days || self.key_apart {
            return Ok(false);
        }
        let request = Request::make()?;
        if !holding.valid {
            complain(&self.file);
        }
        let signed = signer(request.request.clone(), holding.names).await?;
        let key = request.key_pem.as_str();
        let chain: Vec<_> = CertificateDer::pem_slice_iter(signed.as_bytes())
            .collect::<Result<_, _>>()
            .context("reading what was signed")?;
        let own = chain.first().context("nothing was signed")?;
        ensure!(
            ca::holding(own)?.valid,
            "what was signed is not valid now: this machine's clock and the signer's show different times"
        );
        files::write_pair(&self.file, key, &signed)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
        self.credentials.renew(chain, key)?;
        Ok(true)
    }
}

impl Drop for Renewed {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ca::{Authority, Identity, Role};
    use types::{ClusterId, NodeId};

    /// A certificate that is valid for long is left alone; one that is not is renewed, under its names, in its file
    /// and for who has it; and one whose key is elsewhere is not ours.
    #[tokio::test]
    async fn what_expires_soon_is_renewed() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Arc::new(Authority::load(&Authority::make().unwrap()).unwrap());
        let identity = Identity::server(ClusterId::new([1; 16]), Role::Storage, NodeId::new(4));
        let names = ["10.0.0.4".to_owned()];
        let credentials = authority.credentials(&identity, &names).unwrap();
        let mut certificate = Certificate {
            file: folder.path().join("server.pem"),
            key_apart: false,
            credentials,
            days: 30,
        };
        let signer: Signer = Box::new(move |request, names| {
            let signed = authority.answer(&request, &identity, &names);
            Box::pin(async move { Ok(signed?) })
        });
        let before = certificate.credentials.certificate();
        assert!(!certificate.look(&signer).await.unwrap());
        (certificate.days, certificate.key_apart) = (10_000, true);
        assert!(!certificate.look(&signer).await.unwrap());
        assert!(!certificate.file.exists());
        certificate.key_apart = false;
        assert!(certificate.look(&signer).await.unwrap());
        let after = certificate.credentials.certificate();
        assert_ne!(before, after);
        assert_eq!(
            CertificateDer::from_pem_file(&certificate.file).unwrap(),
            after
        );
        assert_eq!(ca::holding(&after).unwrap().names, names);
        assert_eq!(Identity::of(&after).unwrap(), identity);
    }
}
