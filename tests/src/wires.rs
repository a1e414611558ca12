//! Machines of their own for server processes: each in a network namespace, on one bridge, whose wire can be pulled.
//!
//! ```text
//! this machine ── bridge 10.X.Y.254 ──┬── wire ── namespace: 10.X.Y.1
//!                                     ├── wire ── namespace: 10.X.Y.2
//!                                     └── …
//! ```
//!
//! A wire that is pulled carries nothing in either direction, and tells nobody: packets are lost, as between machines.
//! It takes root and iproute2.

use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;
use std::process::Command;

/// Machines on one bridge.
#[derive(Debug)]
pub struct Wires {
    bridge: String,
    network: [u8; 2],
    machines: Vec<String>,
}

impl Wires {
    /// A bridge without machines. Its names and its network are this process's own.
    pub fn new(name: &str) -> Result<Self> {
        let process = std::process::id();
        let hash = name.bytes().fold(process, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(byte.into())
        });
        let [.., x, y] = hash.to_be_bytes();
        let wires = Self {
            bridge: format!("sr{hash:x}"),
            network: [x | 0x80, y],
            machines: Vec::new(),
        };
        ip(&["link", "add", &wires.bridge, "type", "bridge"])?;
        let own = format!("{}/24", wires.address(254));
        ip(&["addr", "add", &own, "dev", &wires.bridge])?;
        ip(&["link", "set", &wires.bridge, "up"])?;
        Ok(wires)
    }

    fn address(&self, last: u8) -> Ipv4Addr {
        let [x, y] = self.network;
        Ipv4Addr::new(10, x, y, last)
    }

    /// One more machine: its place, and its address.
    pub fn add(&mut self) -> Result<(usize, Ipv4Addr)> {
        let place = self.machines.len();
        let last = u8::try_from(place + 1).context("few machines")?;
        let (machine, wire) = (format!("{}-{last}", self.bridge), self.wire(place));
        ip(&["netns", "add", &machine])?;
        self.machines.push(machine.clone());
        let peer = ["type", "veth", "peer", "name", "eth0", "netns", &machine];
        ip(&[&["link", "add", &wire][..], &peer].concat())?;
        ip(&["link", "set", &wire, "master", &self.bridge, "up"])?;
        let address = self.address(last);
        let there = |arguments: &[&str]| ip(&[&["-n", &machine][..], arguments].concat());
        there(&["addr", "add", &format!("{address}/24"), "dev", "eth0"])?;
        there(&["link", "set", "eth0", "up"])?;
        there(&["link", "set", "lo", "up"])?;
        Ok((place, address))
    }

    /// A program with arguments, as it runs on a machine: `ip` becomes the program.
    pub fn on(&self, machine: usize, program: &str, arguments: &[&str]) -> Vec<String> {
        let there = ["netns", "exec", &self.machines[machine], program];
        let all = there.iter().chain(arguments);
        all.map(|argument| (*argument).to_owned()).collect()
    }

    /// Pulls a machine's wire, or plugs it in again.
    pub fn pull(&self, machine: usize, pulled: bool) -> Result<()> {
        let state = if pulled { "down" } else { "up" };
        ip(&["link", "set", &self.wire(machine), state])
    }

    fn wire(&self, machine: usize) -> String {
        format!("{}w{machine}", self.bridge)
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        for machine in &self.machines {
            let _ = ip(&["netns", "del", machine]);
        }
        let _ = ip(&["link", "del", &self.bridge]);
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output();
    let output = output.context("running ip, which iproute2 has")?;
    ensure!(
        output.status.success(),
        "ip {arguments:?}: {}; network namespaces take root",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
