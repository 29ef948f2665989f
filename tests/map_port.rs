//! Ports of the router, opened where asked: against small routers made here, that speak NAT-PMP and UPnP, lie, keep
//! silent or talk without end.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod nodes;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use filbert::control::{Mapping, MappingState, News, Reply, Request};
use filbert::net::{Listen, MapPort, Settings};
use filbert::node::Config;
use filbert::node::event::Role;
use nodes::{Node, SOON};

const SERVICE: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";

/// What it answers to a datagram of NAT-PMP: port and seconds as it likes.
type NatPmp = fn(&[u8]) -> Option<Vec<u8>>;
/// What it answers over HTTP: to the header lines and body of a request, at this port.
type Http = fn(&str, u16, &mut TcpStream);

/// A router on loopback, and what it was asked.
struct Router {
    addr: SocketAddr,
    asked: Receiver<String>,
}

impl Router {
    fn new(nat_pmp: NatPmp, http: Http) -> Self {
        Self::at(nat_pmp, http, |port| {
            format!("http://127.0.0.1:{port}/d.xml")
        })
    }

    /// One that says that its description is elsewhere.
    fn at(nat_pmp: NatPmp, http: Http, location: fn(u16) -> String) -> Self {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let (addr, port) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap().port());
        let (ask, asked) = channel();
        let told = ask.clone();
        thread::spawn(move || datagrams(&udp, nat_pmp, &location(port), &told));
        thread::spawn(move || {
            for mut stream in tcp.incoming().map_while(Result::ok) {
                let text = request(&mut stream);
                let _ = ask.send(text.clone());
                http(&text, port, &mut stream);
            }
        });
        Self { addr, asked }
    }

    fn node(&self) -> Node {
        Node::with(Settings {
            config: Config {
                min_links: 0,
                ..Config::live(Role::Leaf)
            },
            listen: Listen::Fixed("127.0.0.1:0".parse().unwrap()),
            map_port: MapPort::At(self.addr),
            ..Settings::default()
        })
    }

    /// Waits until it is asked this.
    fn wait_asked(&self, part: &str) -> String {
        loop {
            let text = self
                .asked
                .recv_timeout(SOON)
                .unwrap_or_else(|_| panic!("{part}"));
            if text.contains(part) {
                return text;
            }
        }
    }
}

fn datagrams(socket: &UdpSocket, nat_pmp: NatPmp, location: &str, told: &Sender<String>) {
    let mut bytes = [0; 2_048];
    while let Ok((len, from)) = socket.recv_from(&mut bytes) {
        let asked = &bytes[..len];
        let answer = if asked.starts_with(b"M-SEARCH") {
            let _ = told.send(String::from_utf8_lossy(asked).into_owned());
            let answer = format!(
                "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: {location}\r\n\r\n"
            );
            Some(answer.into_bytes())
        } else {
            let _ = told.send(format!("NAT-PMP {asked:?}"));
            nat_pmp(asked)
        };
        if let Some(answer) = answer {
            let _ = socket.send_to(&answer, from);
        }
    }
}

/// The head of a request and its body.
fn request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    let mut left = None;
    while left != Some(0) && matches!(stream.read(&mut byte), Ok(1)) {
        text.push(byte[0]);
        left = match left {
            Some(left) => Some(left - 1),
            None if text.ends_with(b"\r\n\r\n") => {
                let head = String::from_utf8_lossy(&text).to_ascii_lowercase();
                let length = head.split("content-length: ").nth(1);
                Some(length.map_or(0, |text| {
                    text.lines().next().unwrap().parse::<usize>().unwrap()
                }))
            }
            None => None,
        };
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn respond(stream: &mut TcpStream, status: &str, body: &str) {
    let len = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {len}\r\n\r\n{body}"
    );
}

fn description(control: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><root><device><serviceList><service><serviceType>{SERVICE}</serviceType>\
         <controlURL>{control}</controlURL></service></serviceList></device></root>"
    )
}

/// A router that does what it is asked.
fn obliging(request: &str, _port: u16, stream: &mut TcpStream) {
    if request.starts_with("GET /d.xml ") {
        return respond(stream, "200 OK", &description("/ctl"));
    }
    let action = ["AddPortMapping", "DeletePortMapping"]
        .into_iter()
        .find(|action| request.contains(*action));
    match action {
        Some(action) if request.starts_with("POST /ctl ") => {
            let body = format!("<e><b><u:{action}Response xmlns:u=\"{SERVICE}\"/></b></e>");
            respond(stream, "200 OK", &body);
        }
        _ => respond(stream, "404 Not Found", ""),
    }
}

fn refusing(code: u16, stream: &mut TcpStream) {
    let body =
        format!("<f><detail><UPnPError><errorCode>{code}</errorCode></UPnPError></detail></f>");
    respond(stream, "500 Internal Server Error", &body);
}

fn silent(_: &[u8]) -> Option<Vec<u8>> {
    None
}

fn no_http(_: &str, _: u16, _: &mut TcpStream) {}

/// Answers as a router that maps a port; `change` may change the answer.
#[expect(clippy::unnecessary_wraps, reason = "it stands where a silent one may")]
fn mapped(asked: &[u8], change: impl Fn(&mut Vec<u8>)) -> Option<Vec<u8>> {
    let mut answer = vec![0, 128 + asked[1], 0, 0, 0, 0, 0, 9];
    answer.extend(&asked[4..12]);
    change(&mut answer);
    Some(answer)
}

/// Waits for the news of what came of it.
fn outcome(node: &Node) -> Mapping {
    let told = loop {
        if let News::PortMapping(mapping) = node.news.recv_timeout(SOON).unwrap() {
            break mapping;
        }
    };
    let Some(Reply::Status(status)) = node.ask(Request::Status).pop() else {
        panic!("no status");
    };
    assert_eq!(status.mapping.as_ref(), Some(&told));
    told
}

/// What each of these routers does not do: all are asked at the same time.
fn failures<const N: usize>(routers: [Router; N]) -> [(Router, String); N] {
    let nodes = routers.map(|router| (router.node(), router));
    nodes.map(|(node, router)| {
        let mapping = outcome(&node);
        assert_eq!(mapping.state, MappingState::Failed, "{mapping:?}");
        (router, mapping.problem.unwrap())
    })
}

fn failure(router: Router) -> (Router, String) {
    let [failed] = failures([router]);
    failed
}

#[test]
fn a_port_is_opened_by_nat_pmp_and_closed_at_the_end() {
    let router = Router::new(|asked| mapped(asked, |_| {}), no_http);
    let node = router.node();
    let port = node.addr().port();
    let mapping = outcome(&node);
    assert_eq!((mapping.port, mapping.state), (port, MappingState::Open));
    assert_eq!(mapping.by.as_deref(), Some("NAT-PMP"));
    let [high, low] = port.to_be_bytes();
    for transport in [2, 1] {
        let asked = [0, transport, 0, 0, high, low, high, low, 0, 0, 0x1C, 0x20];
        assert_eq!(
            router.asked.recv_timeout(SOON).unwrap(),
            format!("NAT-PMP {asked:?}")
        );
    }
    node.servent.stop();
    let ended: Vec<String> = router.asked.try_iter().collect();
    let end = |transport: u8| {
        format!(
            "NAT-PMP {:?}",
            [0, transport, 0, 0, high, low, 0, 0, 0, 0, 0, 0]
        )
    };
    assert_eq!(ended, [end(2), end(1)], "before the node has stopped");
}

#[test]
fn a_port_is_opened_by_upnp_where_nat_pmp_is_silent_and_closed_at_the_end() {
    let router = Router::new(silent, obliging);
    let node = router.node();
    let mapping = outcome(&node);
    assert_eq!(mapping.by.as_deref(), Some("UPnP"), "{mapping:?}");
    let search = router.wait_asked("M-SEARCH");
    assert!(search.contains("MAN: \"ssdp:discover\"\r\n"), "{search}");
    let port = node.addr().port();
    for protocol in ["TCP", "UDP"] {
        let add = router.wait_asked("AddPortMapping");
        for part in [
            format!("SOAPAction: \"{SERVICE}#AddPortMapping\"\r\n"),
            format!("<NewProtocol>{protocol}<"),
            format!("<NewExternalPort>{port}<"),
            format!("<NewInternalPort>{port}<"),
            "<NewInternalClient>127.0.0.1<".to_owned(),
            "<NewLeaseDuration>7200<".to_owned(),
        ] {
            assert!(add.contains(&part), "{part} in {add}");
        }
    }
    node.servent.stop();
    let ended: Vec<String> = router.asked.try_iter().collect();
    assert_eq!(ended.len(), 2, "{ended:#?}");
    assert!(
        ended
            .iter()
            .all(|text| text.contains("#DeletePortMapping\"")),
        "{ended:#?}"
    );
}

#[test]
fn a_router_that_sets_no_end_is_taken_at_its_word() {
    let router = Router::new(silent, |request, port, stream| {
        if request.contains("<NewLeaseDuration>7200<") {
            refusing(725, stream);
        } else {
            obliging(request, port, stream);
        }
    });
    let mapping = outcome(&router.node());
    assert_eq!(mapping.state, MappingState::Open, "{mapping:?}");
    router.wait_asked("<NewLeaseDuration>0<");
}

#[test]
fn what_a_router_refuses_is_said_with_the_way_out() {
    let router = Router::new(
        |asked| mapped(asked, |answer| answer[3] = 2),
        |request, port, stream| {
            if request.starts_with("POST") {
                refusing(718, stream);
            } else {
                obliging(request, port, stream);
            }
        },
    );
    let (_, why) = failure(router);
    for part in [
        "allow NAT-PMP in the settings of the router",
        "given that port to another machine; choose another with --listen",
        "have it pass port",
    ] {
        assert!(why.contains(part), "{part} in {why}");
    }
}

#[test]
fn another_port_than_ours_is_given_back() {
    let router = Router::new(
        |asked| {
            mapped(asked, |answer| {
                answer[10..12].copy_from_slice(&[0x1F, 0x90]);
            })
        },
        no_http,
    );
    let (router, why) = failure(router);
    assert!(why.contains("--listen 0.0.0.0:8080"), "{why}");
    router.wait_asked(", 0, 0, 0, 0, 0, 0]");
}

#[test]
fn routers_that_are_silent_or_talk_nonsense_are_given_up() {
    let mute = Router::new(silent, no_http);
    let garbage = Router::new(
        |_| Some(vec![0xFF; 1_000]),
        |_, _, stream| {
            let _ = stream.write_all(&[0xFF; 1_000]);
        },
    );
    // Answers to other questions, and a description of nothing.
    let confused = Router::new(
        |asked| mapped(asked, |answer| answer[9] ^= 1),
        |_, _, stream| respond(stream, "200 OK", &description("")),
    );
    let [mute, garbage, confused] = failures([mute, garbage, confused]).map(|(_, why)| why);
    let no_answer = "the router at 127.0.0.1 does not answer";
    assert!(
        mute.contains(no_answer) && mute.contains("does not speak HTTP"),
        "{mute}"
    );
    assert!(garbage.contains("does not speak HTTP"), "{garbage}");
    assert!(
        confused.contains(no_answer) && confused.contains("cannot map ports"),
        "{confused}"
    );
}

#[test]
fn a_router_that_talks_without_end_is_cut_short() {
    let router = Router::new(silent, |_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
        let piece = vec![b'<'; 1 << 20];
        let written = (0..1_024)
            .take_while(|_| stream.write_all(&piece).is_ok())
            .count();
        assert!(written < 64, "{written} MiB were taken");
    });
    let (_, why) = failure(router);
    assert!(why.contains("it sends more than 131072 bytes"), "{why}");
}

#[test]
fn nobody_is_asked_whom_an_answer_points_at() {
    // Elsewhere, by a name, on another machine of the network.
    let locations: [fn(u16) -> String; 5] = [
        |_| "http://192.0.2.1/d.xml".to_owned(),
        |_| "http://router.invalid/d.xml".to_owned(),
        |port| format!("http://127.0.0.2:{port}/d.xml"),
        |port| format!("http://localhost:{port}/d.xml"),
        |_| "file:///etc/passwd".to_owned(),
    ];
    let refused: NatPmp = |asked| mapped(asked, |answer| answer[3] = 5);
    for (router, why) in failures(locations.map(|at| Router::at(refused, obliging, at))) {
        assert!(why.contains("no router answers"), "{why}");
        assert!(router.asked.try_iter().all(|text| !text.starts_with("GET")));
    }
    let router = Router::new(
        |asked| mapped(asked, |answer| answer[3] = 5),
        |request, port, stream| {
            if request.starts_with("GET") {
                respond(
                    stream,
                    "200 OK",
                    &description(&format!("http://127.0.0.2:{port}/ctl")),
                );
            } else {
                obliging(request, port, stream);
            }
        },
    );
    let (router, why) = failure(router);
    assert!(why.contains("cannot map ports"), "{why}");
    assert!(
        router
            .asked
            .try_iter()
            .all(|text| !text.starts_with("POST"))
    );
}
