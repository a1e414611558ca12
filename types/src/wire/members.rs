//! The metadata servers themselves, as operators see them; and how a server joins the cluster.
//!
//! ```text
//! operator   create_token(role) -> text             handed on, out of band
//! joiner     enrol(request)     -> certificate, id   by the token's own certificate; a metadata server gets the
//!                                                    cluster's keys, too
//! operator   add_member(id)     learner -> voter     once the joined server runs
//! ```

use super::metadata::{Answer, WallTime};
use crate::id::NodeId;
use crate::profile::Profile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Shortest and longest life of a token, in seconds: a minute, and a week.
pub const TOKEN_SECONDS: std::ops::RangeInclusive<u64> = 60..=7 * 24 * 3600;

/// What a server process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerRole {
    /// A metadata server.
    Metadata,
    /// A storage node.
    Storage,
    /// An S3 gateway.
    Gateway,
}

/// A metadata server, as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub node: NodeId,
    /// Where the others reach it.
    pub address: String,
    /// Whether it votes; else it learns.
    pub voter: bool,
    /// Whether it leads.
    pub leader: bool,
    /// Entries of the log that it does not have yet.
    pub behind: u64,
    /// Milliseconds since it last answered the leader; none: not since that leads.
    pub silent_ms: Option<u64>,
    /// Its disk is almost full: it takes no proposals, and leads only if all others are as full.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub full: bool,
    /// By how many milliseconds its wall clock is ahead of the leader's, as far as that knows.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub clock_ahead_ms: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// How far a server is that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Added {
    /// It learns what was decided before.
    Learning {
        /// Entries of the log that it does not have yet.
        behind: u64,
    },
    /// It votes.
    Voter,
}

/// A text that only its holder may have: wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenText(String);

impl TokenText {
    /// Wraps it.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, to be handed on.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(..)")
    }
}

/// A token that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewToken {
    /// Its number, by which it may be withdrawn.
    pub number: u64,
    /// What who joins needs. Told once.
    pub text: TokenText,
}

/// A token, without its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Its number.
    pub number: u64,
    /// What joins by it.
    pub role: ServerRole,
    /// Milliseconds of running until it expires; 0: it has.
    pub expires_in_ms: u64,
    /// Which server has joined by it.
    pub used_by: Option<NodeId>,
}

/// What a server that joins asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrol {
    /// A request for a certificate (PKCS#10), by the key that the server has made.
    #[serde(with = "serde_bytes")]
    pub request: Vec<u8>,
    /// Where other servers will reach it: an IP address and a port.
    pub address: Option<String>,
    /// Names and IP addresses under which those will reach it who know it by no identity.
    pub names: Vec<String>,
}

/// What a server that joins is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// Its id, never used by another.
    pub node: NodeId,
    /// What it is for.
    pub role: ServerRole,
    /// Its certificate, in PEM.
    pub certificate: String,
    /// The metadata servers, and where they listen.
    pub metadata: BTreeMap<u64, String>,
    /// What a metadata server needs besides.
    pub keys: Option<ServerKeys>,
}

/// What every metadata server has: the keys under which the cluster's keys are wrapped, and its authority's.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
pub struct ServerKeys {
    /// Ring keys with their versions, the current one last.
    pub rings: Vec<(u32, [u8; 32])>,
    /// The authority's private key, in PKCS#8.
    #[serde(with = "serde_bytes")]
    pub authority: Vec<u8>,
    /// What is the same on every server.
    #[zeroize(skip)]
    pub settings: ServerSettings,
}

impl fmt::Debug for ServerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerKeys(..)")
    }
}

/// How every metadata server of a cluster serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerSettings {
    /// How buckets are coded that do not say.
    pub profile: Profile,
    /// Uploads that are neither completed nor aborted expire after so many seconds of running.
    pub abandoned_after_seconds: u64,
    /// Deleted bytes leave the disks after so many seconds of running.
    pub reclaim_after_seconds: u64,
}

/// A server of the cluster, of any role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// Its id.
    pub node: NodeId,
    /// What it is for; none where it was given an id and nothing else.
    pub role: Option<ServerRole>,
    /// Where others reach it, if it said so.
    pub address: Option<String>,
    /// When it was admitted.
    pub admitted: WallTime,
    /// Whether it is no more of the cluster: its certificate opens nothing.
    pub removed: bool,
}

/// What an audit found of one metadata server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Finding {
    /// Its rows are those of most servers.
    Equal,
    /// They are not: it stops, and makes them anew.
    Odd,
    /// It did not say in time.
    Silent,
    /// It said, but no rows are those of most.
    Undecided,
}

/// One metadata server at an audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audited {
    /// Which.
    pub node: NodeId,
    /// What was found.
    pub finding: Finding,
    /// Milliseconds since it last read its stored rows through, and they were what it had written.
    pub examined_ms: Option<u64>,
}

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    /// The entry of the log at which the rows were compared.
    pub entry: u64,
    /// Each metadata server.
    pub servers: Vec<Audited>,
}

/// A backup that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupInfo {
    /// The metadata server that wrote it, on its own machine.
    pub node: NodeId,
    /// Where it is there.
    pub folder: String,
    /// The last entry of the log in it.
    pub entry: u64,
}

/// Deletions are held since the metadata was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// When that was.
    pub since: WallTime,
    /// The last entry of the log that the backup held.
    pub entry: u64,
}

/// What the metadata may hold, and what its servers know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levels {
    /// The cluster's feature level.
    pub level: u32,
    /// The highest that each metadata server knows; none of one that did not say.
    pub known: BTreeMap<NodeId, Option<u32>>,
}

/// What operators ask the metadata servers about themselves.
pub trait Members: Send + Sync + 'static {
    /// The metadata servers.
    fn members(&self) -> Answer<'_, Vec<Member>>;

    /// Makes a joined server a learner and then, once it has caught up, a voter. It is asked again until it votes.
    fn add_member(&self, node: NodeId) -> Answer<'_, Added>;

    /// Takes a server out. One that leads hands over first, and the next leader is asked again.
    fn remove_member(&self, node: NodeId) -> Answer<'_, ()>;

    /// Has this server, if it leads, hand leadership to a voter: that one, or the one that is least behind. Who leads
    /// now.
    fn transfer(&self, from: NodeId, to: Option<NodeId>) -> Answer<'_, NodeId>;

    /// Every server that was ever given an id.
    fn servers(&self) -> Answer<'_, Vec<ServerInfo>>;

    /// Has a server's certificate open nothing any more. A metadata server must have been taken out before.
    fn remove_server(&self, node: NodeId) -> Answer<'_, ()>;

    /// Makes a token with which one server of this role may join within so many seconds.
    fn create_token(&self, role: ServerRole, seconds: u64) -> Answer<'_, NewToken>;

    /// Tokens that have not expired for long.
    fn tokens(&self) -> Answer<'_, Vec<TokenInfo>>;

    /// Withdraws a token.
    fn remove_token(&self, number: u64) -> Answer<'_, ()>;

    /// Lays out the groups of a profile over the admitted disks, unless they were; how many there are.
    fn create_groups(&self, profile: Option<Profile>) -> Answer<'_, u64>;

    /// Has every metadata server compare its rows, now.
    fn audit(&self) -> Answer<'_, AuditReport>;

    /// The feature level, and what the metadata servers know.
    fn levels(&self) -> Answer<'_, Levels>;

    /// Raises the feature level, for good, to the highest that every metadata server knows, or to this one.
    fn raise_level(&self, to: Option<u32>) -> Answer<'_, Levels>;

    /// Has the leader write a backup of this name on its own machine.
    fn backup(&self, name: String) -> Answer<'_, BackupInfo>;

    /// Whether deletions are held since a restore.
    fn held(&self) -> Answer<'_, Option<Held>>;

    /// Releases them: what the restored metadata does not know of is dead from now on.
    fn release(&self) -> Answer<'_, ()>;
}

/// What one who has a certificate asks about it.
pub trait Enrolment: Send + Sync + 'static {
    /// A joiner becomes a server. The same request again gets the same id.
    fn enrol(&self, request: Enrol) -> Answer<'_, Enrolled>;

    /// A server's next certificate, for a key that it has made. Names as it had them.
    fn renew(&self, request: Vec<u8>, names: Vec<String>) -> Answer<'_, String>;
}
