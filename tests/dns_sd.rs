//! DNS-SD between two machines, as far as the system lets the test make them (network namespaces joined by a cable): a
//! node is seen by who browses, and calls who is announced. Nobody is told of anybody otherwise.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use mdns_sd::{IfKind, Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Nothing here takes longer, or the test fails.
const DEADLINE: Duration = Duration::from_secs(60);
const SERVICE: &str = "_gnutella._tcp.local.";
const PORT: u16 = 6_346;

/// Two machines on one cable; gone when this is dropped.
struct Machines([String; 2]);

impl Machines {
    /// `Err`: why this machine cannot have them.
    fn new(name: &str) -> Result<Self, String> {
        let id = std::process::id();
        let machines = Self(["a", "b"].map(|end| format!("filbert-{name}-{id}-{end}")));
        let [a, b] = &machines.0;
        ip(&format!("netns add {a}"))?;
        ip(&format!("netns add {b}"))?;
        ip(&format!(
            "link add cable netns {a} type veth peer name cable netns {b}"
        ))?;
        for (name, own) in [(a, "10.78.0.1/24"), (b, "10.78.0.2/24")] {
            ip(&format!("-n {name} addr add {own} dev cable"))?;
            ip(&format!("-n {name} link set lo up"))?;
            ip(&format!("-n {name} link set cable up"))?;
        }
        Ok(machines)
    }

    /// A node on the first machine that shares nothing and knows nobody.
    fn node(&self, home: &std::path::Path) -> Node {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.0[0]])
            .arg(env!("CARGO_BIN_EXE_filbert"))
            .arg("--home")
            .arg(home)
            .args(["share", "--name", "nas"])
            .env_remove("FILBERT_NO_DISCOVERY")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Node(command.spawn().unwrap())
    }

    /// Does this on the second machine.
    fn there<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let place = File::open(format!("/var/run/netns/{}", self.0[1])).unwrap();
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
        for name in &self.0 {
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

/// A node that is killed when this is dropped.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first event of which `look` makes something.
fn wait<T>(events: &Receiver<ServiceEvent>, look: impl Fn(ServiceEvent) -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        let left = DEADLINE.saturating_sub(start.elapsed());
        let event = events.recv_timeout(left).expect("an event in time");
        if let Some(found) = look(event) {
            return found;
        }
    }
}

fn machines(name: &str) -> Option<Machines> {
    Machines::new(name)
        .inspect_err(|why| eprintln!("no two machines here ({why}): not tested"))
        .ok()
}

#[test]
fn a_node_is_seen_by_who_browses() {
    let Some(machines) = machines("seen") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let _node = machines.node(dir.path());
    machines.there(|| {
        let daemon = ServiceDaemon::new().unwrap();
        daemon.disable_interface(IfKind::IPv6).unwrap();
        let events = daemon.browse(SERVICE).unwrap();
        let found: Box<ResolvedService> = wait(&events, |event| match event {
            ServiceEvent::ServiceResolved(found) => Some(found),
            _ => None,
        });
        assert_eq!(found.get_port(), PORT);
        let addresses: Vec<_> = found.get_addresses_v4().into_iter().collect();
        assert_eq!(addresses, [std::net::Ipv4Addr::new(10, 78, 0, 1)]);
        let id = found.get_property_val_str("id").unwrap();
        assert_eq!(id.len(), 8);
        let agent = found.get_property_val_str("agent").unwrap();
        assert!(agent.starts_with("filbert/"), "{agent}");
        let name = format!("nas ({id}).{SERVICE}");
        assert_eq!(found.get_fullname(), name);
        daemon.shutdown().unwrap().recv_timeout(DEADLINE).unwrap();
    });
}

#[test]
fn a_node_calls_who_is_announced() {
    let Some(machines) = machines("calls") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    machines.there(|| {
        let listener = TcpListener::bind("10.78.0.2:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (greeting, greetings) = channel();
        // Detached: it ends with the process.
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut text = [0; 16];
            stream.read_exact(&mut text).unwrap();
            let _ = greeting.send(text);
        });
        let daemon = ServiceDaemon::new().unwrap();
        daemon.disable_interface(IfKind::IPv6).unwrap();
        let told = &[("id", "other")][..];
        let service = ServiceInfo::new(SERVICE, "other", "other.local.", "", port, told).unwrap();
        daemon.register(service.enable_addr_auto()).unwrap();
        let _node = machines.node(dir.path());
        let greeting = greetings.recv_timeout(DEADLINE).expect("a call");
        assert_eq!(&greeting, b"GNUTELLA CONNECT");
        daemon.shutdown().unwrap().recv_timeout(DEADLINE).unwrap();
    });
}
