//! How the clients of a history reach the metadata servers: over S3 through a gateway; or as a gateway does itself, by
//! its own library, which costs a fiftieth of it.

use super::history::BUCKET;
use crate::support;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use ca::{Credentials, Identity};
use client::{ClientConfig, DeleteError, GetError, Nodes, PutError, Servers};
use rpc::bulk::PoolLimits;
use rpc::{AddressBook, Addresses, Places};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;
use strongroom_tests::Joined;
use types::attributes::Attributes;
use types::wire::calls::Remote;
use types::wire::metadata::{Bucket, Condition, EtagMatch, List, ListEntry, Tags, Wanted};
use types::{NodeId, ObjectKey};

/// One way to the metadata servers.
#[derive(Clone)]
pub(super) enum Face {
    /// A gateway's.
    S3(Client),
    /// The library's, in this process.
    Library(Arc<Library>),
}

/// What must hold for a write.
pub(super) enum Expected {
    Anything,
    Nothing,
    /// An object with this ETag.
    Tagged(String),
}

/// How a write ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Done,
    /// What was expected did not hold, and nothing was written.
    Refused,
    /// Nobody knows.
    Unknown,
}

impl Face {
    /// Writes a small object.
    pub(super) async fn put(
        &self,
        key: &str,
        bytes: Vec<u8>,
        tag: &str,
        expected: Expected,
    ) -> Written {
        match self {
            Self::S3(client) => {
                let put = client.put_object().bucket(BUCKET).key(key);
                let (put, conditional) = match expected {
                    Expected::Anything => (put, false),
                    Expected::Nothing => (put.if_none_match("*"), true),
                    Expected::Tagged(tag) => (put.if_match(format!("\"{tag}\"")), true),
                };
                let sent = put.body(ByteStream::from(bytes)).send().await;
                match sent.map_err(support::refusal) {
                    Ok(_) => Written::Done,
                    Err(refusal) if conditional && matches!(refusal.status, Some(404 | 412)) => {
                        Written::Refused
                    }
                    Err(_) => Written::Unknown,
                }
            }
            Self::Library(library) => library.put(key, bytes, tag, expected).await,
        }
    }

    /// Whether that is acknowledged.
    pub(super) async fn delete(&self, key: &str) -> bool {
        match self {
            Self::S3(client) => {
                let delete = client.delete_object().bucket(BUCKET).key(key);
                delete.send().await.is_ok()
            }
            Self::Library(library) => {
                let Library { client, bucket } = &**library;
                let deleted = client
                    .delete(bucket, &named(key), Condition::default())
                    .await;
                matches!(deleted, Ok(()) | Err(DeleteError::NoSuchObject))
            }
        }
    }

    /// The ETag that is found, if any is; none: nobody knows.
    pub(super) async fn get(&self, key: &str) -> Option<Option<String>> {
        match self {
            Self::S3(client) => match support::get(client, BUCKET, key).await {
                Ok(answer) => {
                    let tag = answer
                        .e_tag()
                        .expect("an ETag")
                        .trim_matches('"')
                        .to_owned();
                    let body = answer.body.collect().await.ok()?;
                    assert_eq!(md5(&body.to_vec()), tag, "another object's bytes");
                    Some(Some(tag))
                }
                Err(refusal) => (refusal.status == Some(404)).then_some(None),
            },
            Self::Library(library) => {
                let Library { client, bucket } = &**library;
                match client.head(bucket, &named(key), Wanted::Nothing).await {
                    Ok(head) => Some(Some(head.attributes.etag)),
                    Err(GetError::NoSuchObject) => Some(None),
                    Err(_) => None,
                }
            }
        }
    }

    /// The keys below a prefix and their ETags; none: nobody knows.
    pub(super) async fn list(&self, prefix: &str) -> Option<Vec<(String, String)>> {
        match self {
            Self::S3(client) => {
                let list = client.list_objects_v2().bucket(BUCKET).prefix(prefix);
                let page = list.send().await.ok()?;
                let listed = page.contents().iter().map(|object| {
                    let tag = object.e_tag().expect("an ETag").trim_matches('"');
                    (object.key().expect("a key").to_owned(), tag.to_owned())
                });
                Some(listed.collect())
            }
            Self::Library(library) => library.list(prefix).await,
        }
    }
}

/// A gateway's library in this process, with what it takes to be one.
pub(super) struct Library {
    client: Arc<client::Client>,
    bucket: Bucket,
}

impl Library {
    /// Joins a cluster as a gateway that serves nobody.
    pub(super) async fn join(cluster: &Joined, name: &str) -> Arc<Self> {
        let home = cluster.folder(name);
        let token = cluster.token("gateway").unwrap();
        let id = cluster
            .join(&home, &token, &["--s3", "127.0.0.1:0"])
            .unwrap();
        let credentials = credentials(&home);
        let of = Identity::of(&credentials.certificate()).unwrap();
        let members = cluster.members().unwrap();
        let (said, mut ids) = (AddressBook::default(), Vec::new());
        for member in &members {
            let node = NodeId::new(member["node"].as_u64().unwrap());
            said.set(node, member["address"].as_str().unwrap().parse().unwrap());
            ids.push(node);
        }
        let said: Arc<dyn Addresses> = Arc::new(said);
        let servers = Servers::start(&credentials, of.cluster, &ids, &said).unwrap();
        let metadata = Arc::new(Remote(servers));
        let nodes = Nodes::new(
            credentials,
            of.cluster,
            Arc::new(Places::new(said, metadata.0.storage())),
            PoolLimits::default(),
            Arc::clone(&metadata) as _,
        );
        let config = ClientConfig::new(NodeId::new(id));
        let client = client::Client::start(config, metadata, Arc::new(nodes));
        let bucket = client.bucket(&BUCKET.to_owned().try_into().unwrap()).await;
        let bucket = bucket.unwrap();
        Arc::new(Self { client, bucket })
    }

    async fn put(&self, key: &str, bytes: Vec<u8>, tag: &str, expected: Expected) -> Written {
        let mut condition = Condition::default();
        match expected {
            Expected::Anything => {}
            Expected::Nothing => condition.differs = Some(EtagMatch::Any),
            Expected::Tagged(tag) => condition.matches = Some(EtagMatch::OneOf(vec![tag])),
        }
        let attributes = Attributes {
            etag: tag.to_owned(),
            ..Attributes::default()
        };
        let put = async {
            let mut upload = self.client.put(&self.bucket, named(key), None).await?;
            upload.write(bytes.into()).await?;
            upload.finish(attributes, Tags::default(), condition).await
        };
        match put.await {
            Ok(_) => Written::Done,
            Err(PutError::ConditionFailed | PutError::NoSuchObject) => Written::Refused,
            Err(_) => Written::Unknown,
        }
    }

    async fn list(&self, prefix: &str) -> Option<Vec<(String, String)>> {
        let list = List {
            bucket: self.bucket.id,
            prefix: prefix.to_owned(),
            delimiter: None,
            after: None,
            limit: 1000,
        };
        let page = self.client.list(list).await.ok()?;
        let listed = page.entries.into_iter().map(|entry| match entry {
            ListEntry::Object { key, etag, .. } => (String::from(key), etag),
            ListEntry::CommonPrefix(prefix) => panic!("{prefix} was not asked for"),
        });
        Some(listed.collect())
    }
}

/// What `join` put into a server's folder.
fn credentials(home: &Path) -> Credentials {
    let authority = CertificateDer::from_pem_file(home.join("ca.pem")).unwrap();
    let own = home.join("server.pem");
    let chain = CertificateDer::pem_file_iter(&own).unwrap();
    let chain = chain.collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(&own).unwrap();
    Credentials::new(&authority, chain, key).unwrap()
}

fn named(key: &str) -> ObjectKey {
    key.to_owned().try_into().expect("a key")
}

pub(super) fn md5(bytes: &[u8]) -> String {
    use md5::{Digest, Md5};
    let digest = Md5::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
