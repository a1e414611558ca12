//! Servers compare their rows: who has others than most stops, and has the right ones again.

use crate::raft_members::{grown, leads, servers, stop};
use crate::raft_support::{Server, keep, kept};
use std::time::Duration;
use strongroom_metadata::command::Raise;
use strongroom_metadata::level::{self, KNOWN};
use strongroom_metadata::raft::{Node, StartError};
use strongroom_metadata::{Command, LogError, Proposal, Store, StoreError};
use types::NodeId;
use types::wire::members::Finding;
use types::wire::metadata::WallTime;

/// Longer than a server takes to notice what it is told.
const NOTICED: Duration = Duration::from_secs(60);

fn raise(level: u32) -> Proposal {
    let command = Command::Raise(Raise { level });
    Proposal {
        wall: WallTime(0),
        command,
    }
}

/// Three servers of this build's level.
async fn three() -> (Vec<Server>, Vec<Node>) {
    let servers = servers(3);
    let nodes = grown(&servers).await;
    leads(&nodes).await.propose(raise(KNOWN)).await.unwrap();
    (servers, nodes)
}

/// What an audit finds of each, in order of their ids.
async fn audit(leader: &Node) -> Vec<(NodeId, Finding)> {
    let report = leader.audit().await.unwrap();
    let servers = report.servers.into_iter();
    servers
        .map(|server| (server.node, server.finding))
        .collect()
}

/// A row that no entry of the log has made.
fn plant(node: &Node) {
    let store = node.unconfirmed_rows();
    let mut txn = store.begin();
    txn.put(vec![0x7e, 1], b"planted".to_vec());
    let mark = store.mark().unwrap();
    store.commit(txn.into_changes(), &mark).unwrap();
}

/// Waits until a condemned server has stopped, by itself, and starts it again.
async fn restarted(server: &Server, node: Node, leader: &Node) -> Result<Node, StartError> {
    // An entry to apply: it is what a server notices it by.
    leader.propose(keep(900)).await.unwrap();
    let why = tokio::time::timeout(NOTICED, node.stopped()).await;
    let why = why.expect("it stops");
    assert!(why.contains("the rows are condemned"), "{why}");
    node.shutdown().await;
    drop(node);
    server.closed().await;
    server.start().await
}

/// Equal rows are found equal; before the level rises nobody compares.
#[tokio::test(start_paused = true)]
async fn equal_rows_are_found_equal() {
    let servers = servers(3);
    let nodes = grown(&servers).await;
    let leader = leads(&nodes).await;
    let refused = leader.audit().await;
    assert!(
        matches!(refused, Err(LogError::Unavailable(why)) if why.contains("feature level")),
        "level 1 knows no audit"
    );
    leader.propose(raise(KNOWN)).await.unwrap();
    let equal: Vec<_> = (1..=3)
        .map(|id| (NodeId::new(id), Finding::Equal))
        .collect();
    for number in 100..140 {
        leader.propose(keep(number)).await.unwrap();
        if number % 10 == 0 {
            assert_eq!(audit(leader).await, equal);
        }
    }
    for node in &nodes {
        node.examine().await;
    }
    let report = leader.audit().await.unwrap();
    assert!(
        report
            .servers
            .iter()
            .all(|server| server.examined_ms.is_some()),
        "{report:?}"
    );
    stop(nodes).await;
}

/// A follower with a row that the others do not have stops; started again it has theirs. Found wrong again before
/// it was found right, it does not start: its own snapshot and log are not to be believed.
#[tokio::test(start_paused = true)]
async fn an_odd_server_is_made_anew_once() {
    let (servers, mut nodes) = three().await;
    plant(&nodes[2]);
    let found = audit(&nodes[0]).await;
    let of = |id, finding| (NodeId::new(id), finding);
    let odd = [
        of(1, Finding::Equal),
        of(2, Finding::Equal),
        of(3, Finding::Odd),
    ];
    assert_eq!(found, odd);

    let third = nodes.remove(2);
    let third = restarted(&servers[2], third, &nodes[0]).await.unwrap();
    plant(&third);
    assert_eq!(audit(&nodes[0]).await, odd);
    let again = third;
    nodes[0].propose(keep(901)).await.unwrap();
    let stopped = tokio::time::timeout(NOTICED, again.stopped()).await;
    stopped.expect("it stops again");
    again.shutdown().await;
    drop(again);
    servers[2].closed().await;
    let lost = Store::open(servers[2].store()).err();
    assert!(matches!(lost, Some(StoreError::CondemnedAgain)), "{lost:?}");
    stop(nodes).await;
}

/// Between two condemnations lies an audit that found the rows right: then they are made anew again.
#[tokio::test(start_paused = true)]
async fn a_server_that_was_right_since_is_made_anew_again() {
    let (servers, mut nodes) = three().await;
    for _ in 0..2 {
        let third = nodes.remove(2);
        plant(&third);
        audit(&nodes[0]).await;
        let third = restarted(&servers[2], third, &nodes[0]).await.unwrap();
        nodes.push(third);
        let found = audit(&nodes[0]).await;
        assert!(
            found.iter().all(|(_, finding)| *finding == Finding::Equal),
            "{found:?}"
        );
    }
    stop(nodes).await;
}

/// A leader that is the odd one stops like any other, and answers nothing meanwhile.
#[tokio::test(start_paused = true)]
async fn an_odd_leader_stops() {
    let (servers, mut nodes) = three().await;
    let leader = leads(&nodes).await.id();
    let at = nodes.iter().position(|node| node.id() == leader).unwrap();
    let odd = nodes.remove(at);
    plant(&odd);
    let found = audit(&odd).await;
    assert!(found.contains(&(leader, Finding::Odd)), "{found:?}");
    let read = odd.linearizable(level::of_cluster).await;
    assert!(
        !matches!(read, Ok(Ok(_))),
        "it still reads its rows: {read:?}"
    );
    // Its own next entry stops it.
    drop(odd.propose(keep(900)).await);
    let stopped = tokio::time::timeout(NOTICED, odd.stopped()).await;
    stopped.expect("it stops");
    odd.shutdown().await;
    drop(odd);
    servers[at].closed().await;
    nodes.insert(at, servers[at].start().await.unwrap());
    let leader = leads(&nodes).await;
    assert!(kept(leader, 7).await.unwrap());
    let found = audit(leader).await;
    assert!(
        found.iter().all(|(_, finding)| *finding == Finding::Equal),
        "{found:?}"
    );
    stop(nodes).await;
}

/// One that is away is told apart from one that has other rows; without most of the voters nobody is condemned.
#[tokio::test(start_paused = true)]
async fn a_silent_server_is_not_odd() {
    let (servers, mut nodes) = three().await;
    let third = nodes.remove(2);
    third.shutdown().await;
    drop(third);
    let found = audit(&nodes[0]).await;
    let silent = (NodeId::new(3), Finding::Silent);
    assert_eq!(found[2], silent);
    assert_eq!(found[0].1, Finding::Equal);
    plant(&nodes[1]);
    let found = audit(&nodes[0]).await;
    let undecided = |id| (NodeId::new(id), Finding::Undecided);
    assert_eq!(found, [undecided(1), undecided(2), silent]);
    assert!(nodes[0].propose(keep(900)).await.is_ok());
    servers[2].closed().await;
    nodes.push(servers[2].start().await.unwrap());
    stop(nodes).await;
}
