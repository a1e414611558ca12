//! Metadata servers that are added, taken out, and hand leadership over.

use crate::raft_support::{Server, eventually, keep, kept, propose_somewhere};
use std::time::Duration;
use strongroom_metadata::raft::{MembersError, Network, Node};
use types::NodeId;
use types::wire::members::Added;

pub(crate) fn servers(count: u64) -> Vec<Server> {
    let network = Network::new();
    let server = |id| Server::new(id, &network, id);
    (1..=count).map(server).collect()
}

/// The voters, as one server sees them.
fn voters(node: &Node) -> Vec<u64> {
    let members = node.members().into_iter();
    let voters = members.filter(|member| member.voter);
    voters.map(|member| member.node.get()).collect()
}

/// Asks the leader until the server votes.
async fn add(leader: &Node, node: &Node) {
    for _ in 0..500 {
        match leader.add_member(node.id(), "here").await {
            Ok(Added::Voter) => return,
            Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("{:?} never votes", node.id());
}

/// A cluster of so many, led by the first, which has entries from before the others came.
pub(crate) async fn grown(servers: &[Server]) -> Vec<Node> {
    let first = servers[0].alone().await.unwrap();
    for number in 0..50 {
        first.propose(keep(number)).await.unwrap();
    }
    let mut nodes = vec![first];
    for server in &servers[1..] {
        let node = server.start().await.unwrap();
        add(&nodes[0], &node).await;
        nodes.push(node);
    }
    nodes
}

pub(crate) async fn leads(nodes: &[Node]) -> &Node {
    eventually("somebody leads", || {
        let leader = nodes[0].leadership().leader;
        nodes
            .iter()
            .any(|node| Some(node.id()) == leader && node.leadership().leader == Some(node.id()))
    })
    .await;
    let leader = nodes[0].leadership().leader;
    let found = nodes.iter().find(|node| Some(node.id()) == leader);
    found.expect("it was found")
}

pub(crate) async fn stop(nodes: Vec<Node>) {
    for node in nodes {
        node.shutdown().await;
    }
}

/// Servers that are added have all that was decided before; the leader can be taken out, which hands over first; and
/// what was acknowledged is there all the while.
#[tokio::test(start_paused = true)]
async fn servers_come_and_go() {
    let servers = servers(4);
    let mut nodes = grown(&servers[..3]).await;
    assert_eq!(voters(&nodes[0]), [1, 2, 3]);
    assert!(kept(&nodes[0], 49).await.unwrap());

    let handed = nodes[0].remove_member(NodeId::new(1)).await;
    assert!(
        matches!(handed, Err(MembersError::Unavailable(_))),
        "{handed:?}"
    );
    let gone = nodes.remove(0);
    let leader = leads(&nodes).await;
    leader.remove_member(NodeId::new(1)).await.unwrap();
    leader.remove_member(NodeId::new(1)).await.unwrap();
    assert_eq!(voters(leader), [2, 3]);
    assert!(gone.propose(keep(50)).await.is_err(), "it is not of them");
    gone.shutdown().await;
    assert!(propose_somewhere(&[&nodes[0], &nodes[1]], 51).await);

    let fourth = servers[3].start().await.unwrap();
    add(leads(&nodes).await, &fourth).await;
    nodes.push(fourth);
    let leader = leads(&nodes).await;
    assert_eq!(voters(leader), [2, 3, 4]);
    for number in [0, 49, 51] {
        assert!(kept(leader, number).await.unwrap(), "{number}");
    }
    stop(nodes).await;
}

/// Leadership goes to whom it is handed, or to one who answers; to nobody else.
#[tokio::test(start_paused = true)]
async fn leadership_is_handed_over() {
    let servers = servers(3);
    let nodes = grown(&servers).await;
    let third = NodeId::new(3);
    assert_eq!(nodes[0].hand_over(Some(third)).await, Ok(third));
    assert_eq!(leads(&nodes).await.id(), third);
    assert!(propose_somewhere(&[&nodes[2]], 60).await);
    let not_he = nodes[0].hand_over(None).await;
    assert!(matches!(not_he, Err(MembersError::Unavailable(_))));
    eventually("the others have answered him", || {
        nodes[2]
            .members()
            .iter()
            .all(|member| member.silent_ms.is_some())
    })
    .await;
    let next = nodes[2].hand_over(None).await.unwrap();
    assert_ne!(next, third);
    let stranger = leads(&nodes).await.hand_over(Some(NodeId::new(9))).await;
    assert!(matches!(stranger, Err(MembersError::Refused(_))));
    stop(nodes).await;
}

/// A server that is not there learns nothing and does not vote, so it costs no quorum; and nobody is taken out whom
/// the others need.
#[tokio::test(start_paused = true)]
async fn no_change_takes_the_quorum_away() {
    let servers = servers(4);
    let mut nodes = grown(&servers[..3]).await;
    let absent = NodeId::new(4);
    for _ in 0..20 {
        let added = nodes[0].add_member(absent, "nowhere").await.unwrap();
        assert!(matches!(added, Added::Learning { .. }), "{added:?}");
    }
    assert_eq!(voters(&nodes[0]), [1, 2, 3]);
    nodes[0].remove_member(absent).await.unwrap();
    assert_eq!(nodes[0].members().len(), 3);

    nodes.pop().expect("the third").shutdown().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let leader = leads(&nodes).await;
    let other = if leader.id() == nodes[0].id() {
        &nodes[1]
    } else {
        &nodes[0]
    };
    let needed = leader.remove_member(other.id()).await;
    assert!(
        matches!(needed, Err(MembersError::Refused(_))),
        "{needed:?}"
    );
    leader.remove_member(NodeId::new(3)).await.unwrap();
    leader.remove_member(other.id()).await.unwrap();
    let last = leader.remove_member(leader.id()).await;
    assert!(matches!(last, Err(MembersError::Refused(_))), "{last:?}");
    assert!(leader.propose(keep(70)).await.is_ok());
    stop(nodes).await;
}
