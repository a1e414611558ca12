//! The metadata servers as operators see them, and how servers join the cluster.
//!
//! ```text
//! operator -> create_token: a number in the log, a certificate for who joins, signed here
//! joiner   -> enrol:   the number is used, in the log; an id; a certificate for the joiner's own key
//!                      role metadata: ring keys and the authority's key, out of this server's slot
//! server   -> renew:   a certificate for the same identity
//! ```
//!
//! The keys of the cluster leave a server here and nowhere else: to who has used a token for a metadata server,
//! over TLS that this very server and that very token's holder have opened, with nothing between them. They are
//! in no log, no store and no snapshot.

use super::{Server, unexpected};
use crate::command::{ClusterCommand, Command, NamespaceCommand};
use crate::level;
use crate::raft::{BackupError, MembersError, Node};
use crate::reply::Reply;
use crate::server::BootstrapError;
use crate::server::pace::{Pace, Passes};
use crate::slot::Slot;
use crate::store::{Store, StoreError, describe};
use crate::tables::{CLOCK, HOLD, HoldRow, NODES, NodeRow, TOKENS};
use ca::{Authority, AuthorityError, Identity, Removed, Role};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use types::wire::members::{
    Added, AuditReport, BackupInfo, Enrol, Enrolled, Enrolment, Held, Levels, Member, Members,
    NewToken, ServerInfo, ServerKeys, ServerRole, ServerSettings, TOKEN_SECONDS, TokenInfo,
    TokenText,
};
use types::wire::metadata::{Answer, MetadataError};
use types::{ClusterId, NodeId, Profile};

/// How often it is looked which servers were removed.
const LOOK: Duration = Duration::from_secs(1);

/// What a metadata server needs to let others join.
pub struct Office {
    /// Signs certificates.
    pub authority: Authority,
    /// Of which cluster.
    pub cluster: ClusterId,
    /// The cluster's keys.
    pub slot: Slot,
    /// What other metadata servers are told.
    pub settings: ServerSettings,
    /// Where this server writes backups.
    pub backups: PathBuf,
}

/// Operators' and joiners' way to the metadata servers.
pub struct Registrar {
    server: Arc<Server<Arc<Node>>>,
    /// None: servers join otherwise.
    office: Option<Arc<Office>>,
    look: JoinHandle<()>,
}

impl Registrar {
    /// Over a server. `removed` learns who is removed.
    pub fn start(
        server: Arc<Server<Arc<Node>>>,
        office: Option<Arc<Office>>,
        removed: &Removed,
    ) -> Arc<Self> {
        let look = follow(Arc::downgrade(server.log()), removed.clone());
        Arc::new(Self {
            server,
            office,
            look: tokio::spawn(look),
        })
    }

    /// The service that it goes with.
    pub fn server(&self) -> &Arc<Server<Arc<Node>>> {
        &self.server
    }

    /// Where storage nodes listen that said so, as far as this server has applied.
    pub(crate) fn storage(&self) -> BTreeMap<u64, String> {
        let servers = read_servers(&self.node().applied_rows()).unwrap_or_default();
        let nodes = servers
            .into_iter()
            .filter(|server| server.role == Some(ServerRole::Storage) && !server.removed);
        nodes
            .filter_map(|server| Some((server.node.get(), server.address?)))
            .collect()
    }

    fn node(&self) -> &Node {
        self.server.log()
    }

    async fn propose(&self, command: ClusterCommand) -> Result<Reply, MetadataError> {
        let command = Command::Cluster(command);
        self.server.inner.propose(command).await
    }

    fn office(&self) -> Result<&Office, MetadataError> {
        self.office.as_deref().ok_or_else(|| {
            let text = "the cluster's authority is not kept by its metadata servers";
            MetadataError::MembersUnchanged(text.to_owned())
        })
    }

    /// The row of a server that is of the cluster.
    async fn row(&self, node: NodeId) -> Result<NodeRow, MetadataError> {
        let row = self.server.inner.read(move |store| NODES.get(store, &node));
        let row = row.await?.filter(|row| row.removed.is_none());
        row.ok_or(MetadataError::NoSuchServer)
    }

    /// Notes the first server of a cluster, to which nobody could give a token.
    ///
    /// # Errors
    /// When the service does not answer.
    pub async fn note_first(&self, key: &[u8], address: String) -> Result<NodeId, MetadataError> {
        let role = ServerRole::Metadata;
        let lifetime_ms = 1000 * TOKEN_SECONDS.start();
        let made = self.propose(ClusterCommand::AddToken { role, lifetime_ms });
        let Reply::Token(token) = made.await? else {
            return Err(unexpected());
        };
        let used = self.propose(ClusterCommand::UseToken {
            token,
            key: Sha256::digest(key).into(),
            address: Some(address),
        });
        match used.await? {
            Reply::Enrolled { node, .. } => Ok(node),
            _ => Err(unexpected()),
        }
    }

    /// Certificates are valid from now on, as this server's wall clock shows it: so none is signed while the others'
    /// clocks contradict it. Whoever got one that is valid from 2040 would be refused by everybody.
    ///
    /// # Errors
    /// When they contradict it, or none answers.
    pub async fn confirm_wall(&self) -> Result<(), MetadataError> {
        if self.node().wall_is_confirmed().await {
            return Ok(());
        }
        let why = "this server's clock shows another time than the others', or none of them answers: it signs no \
                   certificate; set its clock";
        tracing::error!(why);
        Err(MetadataError::Unavailable(why.to_owned()))
    }

    async fn add(&self, node: NodeId) -> Result<Added, MetadataError> {
        let row = self.row(node).await?;
        let (Some(ServerRole::Metadata), Some(address)) = (row.role, row.address) else {
            let text = format!("{node} did not join as a metadata server");
            return Err(MetadataError::MembersUnchanged(text));
        };
        self.node()
            .add_member(node, &address)
            .await
            .map_err(unchanged)
    }

    async fn remove(&self, node: NodeId) -> Result<(), MetadataError> {
        let (_, members) = self.node().membership();
        if members.contains_key(&node.get()) {
            self.node().remove_member(node).await.map_err(unchanged)?;
            tracing::info!(%node, "the metadata server was taken out");
        } else {
            self.row(node).await?;
        }
        Ok(())
    }

    async fn bar(&self, node: NodeId) -> Result<(), MetadataError> {
        if self.node().membership().1.contains_key(&node.get()) {
            let text = format!("{node} is one of them; take it out first: metadata remove");
            return Err(MetadataError::MembersUnchanged(text));
        }
        self.propose(ClusterCommand::RemoveNode { node }).await?;
        tracing::warn!(%node, "the server is no more of the cluster");
        Ok(())
    }

    async fn all_servers(&self) -> Result<Vec<ServerInfo>, MetadataError> {
        self.server.inner.read(read_servers).await
    }

    async fn make_token(&self, role: ServerRole, seconds: u64) -> Result<NewToken, MetadataError> {
        let office = self.office()?;
        if !TOKEN_SECONDS.contains(&seconds) {
            let (least, most) = (TOKEN_SECONDS.start(), TOKEN_SECONDS.end());
            let text = format!("a token lives for {least} to {most} seconds");
            return Err(MetadataError::Malformed(text));
        }
        self.confirm_wall().await?;
        let lifetime_ms = seconds * 1000;
        let reply = self.propose(ClusterCommand::AddToken { role, lifetime_ms });
        let Reply::Token(number) = reply.await? else {
            return Err(unexpected());
        };
        let (_, servers) = self.node().membership();
        let valid = Duration::from_secs(seconds);
        let token = office
            .authority
            .token(office.cluster, number, role, valid, servers);
        let text = token.map_err(|error| unsigned(&error))?.text();
        tracing::info!(number, ?role, seconds, "a token was made");
        let text = TokenText::new(text.to_string());
        Ok(NewToken { number, text })
    }

    async fn known_levels(&self) -> Result<Levels, MetadataError> {
        let level = self.server.inner.read(level::of_cluster).await?;
        let known = self.node().levels().await;
        Ok(Levels { level, known })
    }

    /// To the level that was asked for, or the highest that every server knows: none may be left behind.
    async fn raise(&self, to: Option<u32>) -> Result<Levels, MetadataError> {
        let mut levels = self.known_levels().await?;
        if let Some((silent, _)) = levels.known.iter().find(|(_, known)| known.is_none()) {
            let text = format!("{silent} does not say which level it knows, or does not answer");
            return Err(MetadataError::MembersUnchanged(text));
        }
        let least = levels.known.values().flatten().min();
        let to = to.or(least.copied()).unwrap_or(level::KNOWN);
        let behind = levels.known.iter().find(|(_, known)| **known < Some(to));
        if let Some((node, known)) = behind {
            let known = known.unwrap_or(level::FIRST);
            let text = format!("{node} knows no level above {known}");
            return Err(MetadataError::MembersUnchanged(text));
        }
        if to > levels.level {
            self.server.inner.raise_level(to).await?;
            tracing::warn!(
                from = levels.level,
                to,
                "the cluster's feature level was raised"
            );
            levels.level = to;
        }
        Ok(levels)
    }

    async fn write_backup(&self, name: String) -> Result<BackupInfo, MetadataError> {
        let office = self.office()?;
        let (node, provider) = (self.node(), seal::provider::default());
        let (ring, folder) = (office.slot.ring(), &office.backups);
        let written = node.backup(folder, &name, provider, ring, office.cluster);
        let about = written.await.map_err(|error| {
            let why = describe(&error);
            tracing::error!(name, why, "there is no backup");
            match error {
                BackupError::Snapshot(_) => MetadataError::Unavailable(why),
                _ => MetadataError::MembersUnchanged(why),
            }
        })?;
        tracing::info!(name, entry = about.entry, "a backup was written");
        Ok(BackupInfo {
            node: node.id(),
            folder: folder.join(name).display().to_string(),
            entry: about.entry,
        })
    }

    async fn who_holds(&self) -> Result<Option<Held>, MetadataError> {
        let row = self.server.inner.read(|store| HOLD.get(store, &())).await?;
        let held = row.map(|HoldRow { since, entry }| Held { since, entry });
        Ok(held)
    }

    async fn let_go(&self) -> Result<(), MetadataError> {
        let release = Command::Namespace(NamespaceCommand::ReleaseDeletions);
        self.server.inner.propose(release).await?;
        tracing::warn!("deletions that were held since a restore are released");
        Ok(())
    }

    async fn all_tokens(&self) -> Result<Vec<TokenInfo>, MetadataError> {
        self.server.inner.read(read_tokens).await
    }

    async fn lay_out(&self, profile: Option<Profile>) -> Result<u64, MetadataError> {
        let profile = profile.unwrap_or(self.server.inner.config.default_profile);
        let made = self.server.create_groups(profile).await;
        made.map_err(|error| match error {
            BootstrapError::Service(error) => error,
            error => MetadataError::MembersUnchanged(error.to_string()),
        })?;
        let table = self.server.inner.group_table(0).await?;
        let groups = table.unwrap_or_default().groups;
        let of_profile = groups.iter().filter(|group| group.profile == profile);
        Ok(of_profile.count() as u64)
    }

    async fn enrol(&self, token: u64, asked: Enrol) -> Result<Enrolled, MetadataError> {
        let office = self.office()?;
        let malformed = |error: &AuthorityError| {
            let text = format!("the request for a certificate: {error}");
            MetadataError::Malformed(text)
        };
        if asked
            .address
            .as_ref()
            .is_some_and(|at| at.parse::<SocketAddr>().is_err())
        {
            let text = "the address is not an IP address and a port".to_owned();
            return Err(MetadataError::Malformed(text));
        }
        let key = ca::requested_key(&asked.request).map_err(|error| malformed(&error))?;
        // Before the token is used.
        self.confirm_wall().await?;
        let reply = self.propose(ClusterCommand::UseToken {
            token,
            key: Sha256::digest(&key).into(),
            address: asked.address.clone(),
        });
        let Reply::Enrolled { node, role } = reply.await? else {
            return Err(unexpected());
        };
        let identity = Identity::server(office.cluster, role.into(), node);
        let signed = office
            .authority
            .answer(&asked.request, &identity, &asked.names);
        let certificate = signed.map_err(|error| malformed(&error))?;
        tracing::info!(token, %identity, names = ?asked.names, "a server has joined by a token");
        let keys = (role == ServerRole::Metadata).then(|| {
            tracing::warn!(%identity, "the cluster's keys are handed to a new metadata server");
            office.keys()
        });
        Ok(Enrolled {
            node,
            role,
            certificate,
            metadata: self.node().membership().1,
            keys,
        })
    }
}

impl Drop for Registrar {
    fn drop(&mut self) {
        self.look.abort();
    }
}

impl Office {
    fn keys(&self) -> ServerKeys {
        let rings = self.slot.rings.iter();
        ServerKeys {
            rings: rings.map(|ring| (ring.version(), *ring.expose())).collect(),
            authority: self.authority.key().to_vec(),
            settings: self.settings,
        }
    }
}

impl Members for Registrar {
    fn members(&self) -> Answer<'_, Vec<Member>> {
        Box::pin(async { Ok(self.node().members()) })
    }

    fn add_member(&self, node: NodeId) -> Answer<'_, Added> {
        Box::pin(self.add(node))
    }

    fn remove_member(&self, node: NodeId) -> Answer<'_, ()> {
        Box::pin(self.remove(node))
    }

    fn transfer(&self, from: NodeId, to: Option<NodeId>) -> Answer<'_, NodeId> {
        Box::pin(async move {
            // Asked again of the successor: it is done.
            if self.node().id() != from {
                return Ok(self.node().id());
            }
            self.node().hand_over(to).await.map_err(unchanged)
        })
    }

    fn servers(&self) -> Answer<'_, Vec<ServerInfo>> {
        Box::pin(self.all_servers())
    }

    fn remove_server(&self, node: NodeId) -> Answer<'_, ()> {
        Box::pin(self.bar(node))
    }

    fn create_token(&self, role: ServerRole, seconds: u64) -> Answer<'_, NewToken> {
        Box::pin(self.make_token(role, seconds))
    }

    fn tokens(&self) -> Answer<'_, Vec<TokenInfo>> {
        Box::pin(self.all_tokens())
    }

    fn remove_token(&self, number: u64) -> Answer<'_, ()> {
        let command = ClusterCommand::RemoveToken { token: number };
        Box::pin(async move { self.propose(command).await.map(drop) })
    }

    fn create_groups(&self, profile: Option<Profile>) -> Answer<'_, u64> {
        Box::pin(self.lay_out(profile))
    }

    fn audit(&self) -> Answer<'_, AuditReport> {
        Box::pin(async {
            let audited = self.node().audit().await;
            audited.map_err(|error| MetadataError::Unavailable(error.to_string()))
        })
    }

    fn levels(&self) -> Answer<'_, Levels> {
        Box::pin(self.known_levels())
    }

    fn raise_level(&self, to: Option<u32>) -> Answer<'_, Levels> {
        Box::pin(self.raise(to))
    }

    fn backup(&self, name: String) -> Answer<'_, BackupInfo> {
        Box::pin(self.write_backup(name))
    }

    fn held(&self) -> Answer<'_, Option<Held>> {
        Box::pin(self.who_holds())
    }

    fn release(&self) -> Answer<'_, ()> {
        Box::pin(self.let_go())
    }
}

/// What one caller may ask about its own certificate.
pub(crate) struct Enrolling {
    pub(crate) registrar: Arc<Registrar>,
    pub(crate) caller: Identity,
}

impl Enrolment for Enrolling {
    fn enrol(&self, request: Enrol) -> Answer<'_, Enrolled> {
        Box::pin(async move {
            match (self.caller.role, self.caller.node) {
                (Role::Joiner, Some(token)) => self.registrar.enrol(token.get(), request).await,
                _ => Err(MetadataError::TokenInvalid),
            }
        })
    }

    fn renew(&self, request: Vec<u8>, names: Vec<String>) -> Answer<'_, String> {
        Box::pin(async move {
            let office = self.registrar.office()?;
            let (Some(node), false) = (self.caller.node, self.caller.role == Role::Joiner) else {
                return Err(MetadataError::NoSuchServer);
            };
            self.registrar.row(node).await?;
            self.registrar.confirm_wall().await?;
            let signed = office.authority.answer(&request, &self.caller, &names);
            let certificate =
                signed.map_err(|error| MetadataError::Malformed(error.to_string()))?;
            tracing::info!(caller = %self.caller, ?names, "a certificate was renewed");
            Ok(certificate)
        })
    }
}

/// Looks again and again which servers were removed, and how cluster time passes, as far as this one has applied, while
/// it is there.
async fn follow(node: Weak<Node>, removed: Removed) {
    let mut pace = Pace::new(Instant::now());
    let mut passed = Passes::AsHere;
    while let Some(node) = node.upgrade() {
        if let Ok(clock) = CLOCK.get(&*node.applied_rows(), &()) {
            let passes = pace.look(Instant::now(), clock.unwrap_or_default().now_ms);
            tell(passed, passes);
            passed = passes;
        }
        match read_servers(&node.applied_rows()) {
            Ok(servers) => {
                let gone = servers.into_iter().filter(|server| server.removed);
                removed.add(gone.map(|server| server.node));
            }
            Err(error) => tracing::debug!(%error, "the servers cannot be read now"),
        }
        drop(node);
        tokio::time::sleep(LOOK).await;
    }
}

fn tell(before: Passes, passes: Passes) {
    let alarm = if passes == Passes::AsHere { 0.0 } else { 1.0 };
    metrics::gauge!("strongroom_metadata_cluster_time_alarm").set(alarm);
    match passes {
        passes if passes == before => {}
        Passes::AsHere => tracing::warn!("cluster time passes as this server's clock does, again"),
        Passes::Faster => tracing::error!(
            "cluster time passes faster than this server's monotonic clock: the leader's is fast, or this one's slow; \
             leases and retention may end early: hand leadership to another server, and look at both machines"
        ),
        Passes::Slower => tracing::error!(
            "cluster time passes slower than this server's monotonic clock: the leader's is slow, or this one's fast"
        ),
    }
}

fn read_servers(store: &Store) -> Result<Vec<ServerInfo>, StoreError> {
    let info = |row: Result<(Vec<u8>, NodeRow), StoreError>| {
        let (key, row) = row?;
        let id = key.first_chunk().ok_or(StoreError::Damaged)?;
        Ok(ServerInfo {
            node: NodeId::new(u64::from_be_bytes(*id)),
            role: row.role,
            address: row.address,
            admitted: row.admitted,
            removed: row.removed.is_some(),
        })
    };
    NODES.scan(store, &[]).map(info).collect()
}

fn read_tokens(store: &Store) -> Result<Vec<TokenInfo>, StoreError> {
    let now = CLOCK.get(store, &())?.unwrap_or_default().now_ms;
    let mut tokens = Vec::new();
    for row in TOKENS.scan(store, &[]) {
        let (key, row) = row?;
        let number = key.first_chunk().ok_or(StoreError::Damaged)?;
        tokens.push(TokenInfo {
            number: u64::from_be_bytes(*number),
            role: row.role,
            expires_in_ms: row.expires_ms.saturating_sub(now),
            used_by: row.used.map(|used| used.node),
        });
    }
    Ok(tokens)
}

fn unchanged(error: MembersError) -> MetadataError {
    match error {
        MembersError::Refused(text) => MetadataError::MembersUnchanged(text),
        MembersError::Unavailable(text) => MetadataError::Unavailable(text),
    }
}

fn unsigned(error: &AuthorityError) -> MetadataError {
    tracing::error!(%error, "a certificate could not be made");
    MetadataError::Unavailable(error.to_string())
}
