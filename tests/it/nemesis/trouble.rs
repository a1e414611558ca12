//! What is the matter with disks and metadata servers, until the end of a round.

use super::plan::{Fault, Server};
use crate::metadata::leader;
use crate::survive::mounted::Mounted;
use crate::survive::{Aside, ids, serving, until};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use strongroom_tests::Cluster;
use tokio::task::block_in_place;

pub(super) struct Trouble<'a> {
    mounted: &'a BTreeMap<u8, Mounted>,
    aside: Vec<(Fault, Aside)>,
    frozen: Vec<u8>,
    full: Vec<u8>,
    /// The files by which a metadata server is away.
    away: Vec<PathBuf>,
}

impl<'a> Trouble<'a> {
    pub(super) fn new(mounted: &'a BTreeMap<u8, Mounted>) -> Self {
        Self {
            mounted,
            aside: Vec::new(),
            frozen: Vec::new(),
            full: Vec::new(),
            away: Vec::new(),
        }
    }

    /// Makes it.
    pub(super) fn make(&mut self, cluster: &Cluster, fault: Fault) {
        match fault {
            Fault::Lose(disk) => self.aside.push((fault, Aside::put(cluster, disk))),
            Fault::Empty(disk) | Fault::Destroy(disk) => {
                self.aside.push((fault, Aside::put(cluster, disk)));
                fs::create_dir(cluster.disk(disk)).unwrap();
            }
            Fault::Fill(disk) => {
                self.mounted[&disk].fill();
                self.full.push(disk);
            }
            Fault::Stall(disk) => {
                self.mounted[&disk].freeze();
                self.frozen.push(disk);
            }
            Fault::Away(server) => {
                let node = match server {
                    Server::Leader => block_in_place(|| leader(cluster)),
                    Server::Numbered(node) => node,
                };
                let file = cluster.away(node);
                fs::write(&file, "").unwrap();
                self.away.push(file);
            }
            Fault::Kill | Fault::Restart | Fault::Freeze(_) => {
                unreachable!("it is the whole cluster's: {fault:?}")
            }
        }
    }

    /// No disk is stalled any more.
    pub(super) fn thaw(&mut self) {
        for disk in self.frozen.drain(..) {
            self.mounted[&disk].thaw();
        }
    }

    /// All of it is over: what was away is back, what was destroyed is replaced.
    pub(super) async fn end(mut self, cluster: &Cluster, told: &str) {
        self.thaw();
        for disk in self.full {
            self.mounted[&disk].empty();
        }
        for file in self.away {
            fs::remove_file(file).unwrap();
        }
        for (fault, aside) in self.aside {
            let Fault::Destroy(disk) = fault else {
                aside.back();
                continue;
            };
            aside.destroy();
            until(&format!("{told}: the loss is told"), || {
                serving(cluster) == 5
            })
            .await;
            let id = ids(cluster)[usize::from(disk)].to_string();
            // Asked again while nobody leads, as its refusal says.
            until(&format!("{told}: disk {id} is replaced"), || {
                let replaced = cluster.run(&["disk", "replace", &id]).unwrap();
                let said = String::from_utf8_lossy(&replaced.stderr).into_owned();
                let elects = said.contains("the metadata service is unavailable");
                assert!(replaced.status.success() || elects, "{told}: {said}");
                replaced.status.success()
            })
            .await;
        }
    }
}
