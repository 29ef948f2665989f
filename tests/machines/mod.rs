//! Two machines, as far as the system lets a test make them: network namespaces joined by a cable.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Addresses of the two.
const ADDRESSES: [&str; 2] = ["10.77.0.1/24", "10.77.0.2/24"];

/// Two machines on one cable; gone when this is dropped.
pub(crate) struct Machines {
    names: [String; 2],
}

impl Machines {
    /// `Err`: why this machine cannot have them.
    pub(crate) fn new(name: &str) -> Result<Self, String> {
        let id = std::process::id();
        let names = ["a", "b"].map(|end| format!("filbert-{name}-{id}-{end}"));
        let machines = Self { names };
        let [a, b] = &machines.names;
        ip(&format!("netns add {a}"))?;
        ip(&format!("netns add {b}"))?;
        ip(&format!(
            "link add cable netns {a} type veth peer name cable netns {b}"
        ))?;
        for (name, own) in machines.names.iter().zip(ADDRESSES) {
            ip(&format!("-n {name} addr add {own} dev cable"))?;
            ip(&format!("-n {name} link set lo up"))?;
            ip(&format!("-n {name} link set cable up"))?;
        }
        Ok(machines)
    }

    /// The program on one of them, free to look for others.
    pub(crate) fn filbert(&self, machine: usize, home: &Path, args: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.names[machine]])
            .arg(env!("CARGO_BIN_EXE_filbert"))
            .arg("--home")
            .arg(home)
            .args(args)
            .env_remove("FILBERT_NO_DISCOVERY")
            .env_remove("FILBERT_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Does this on the second one.
    pub(crate) fn there<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let place = File::open(format!("/var/run/netns/{}", self.names[1])).unwrap();
        thread::scope(|scope| {
            let work = scope.spawn(move || {
                let network = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(place.as_fd(), network).unwrap();
                work()
            });
            work.join().unwrap()
        })
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

fn ip(args: &str) -> Result<(), String> {
    let said = Command::new("ip").args(args.split(' ')).output();
    match said {
        Ok(said) if said.status.success() => Ok(()),
        Ok(said) => Err(String::from_utf8_lossy(&said.stderr).trim().to_owned()),
        Err(error) => Err(format!("ip: {error}")),
    }
}
