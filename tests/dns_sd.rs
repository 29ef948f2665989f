//! DNS-SD between two machines, as far as the system lets the test make them (network namespaces joined by a cable): a
//! node is seen by who browses, and calls who is announced. Nobody is told of anybody otherwise.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod machines;

use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use mdns_sd::{IfKind, Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};

use machines::Machines;

/// Nothing here takes longer, or the test fails.
const DEADLINE: Duration = Duration::from_secs(60);
const SERVICE: &str = "_gnutella._tcp.local.";
const PORT: u16 = 6_346;

/// A node that is killed when this is dropped.
struct Node(Child);

impl Node {
    /// One on the first machine that shares nothing and knows nobody.
    fn start(machines: &Machines, home: &Path) -> Self {
        let mut command = machines.filbert(0, home, &["share", "--name", "nas"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

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
    let _node = Node::start(&machines, dir.path());
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
        assert_eq!(addresses, [std::net::Ipv4Addr::new(10, 77, 0, 1)]);
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
        let listener = TcpListener::bind("10.77.0.2:0").unwrap();
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
        let _node = Node::start(&machines, dir.path());
        let greeting = greetings.recv_timeout(DEADLINE).expect("a call");
        assert_eq!(&greeting, b"GNUTELLA CONNECT");
        daemon.shutdown().unwrap().recv_timeout(DEADLINE).unwrap();
    });
}
