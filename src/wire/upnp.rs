//! UPnP: asking a router by its Internet Gateway Device to pass connections on to us. The texts; who carries them is
//! not known here.
//!
//! Sources: UPnP Device Architecture 1.1 (sections 1.3 and 3), `WANIPConnection:1` (section 2.4, errors in 2.4.16).

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use quick_xml::reader::Reader;

use super::heads::Head;
use super::nat_pmp::Transport;

/// Services of one description that are looked at.
const SERVICES_MAX: usize = 4;
/// Bytes of the text of one element that are kept.
const TEXT_BYTES_MAX: usize = 1_024;
/// Services that map ports: of routers that hand on addresses, and of those that dial.
const SERVICES: [&str; 2] = [
    "urn:schemas-upnp-org:service:WANIPConnection:",
    "urn:schemas-upnp-org:service:WANPPPConnection:",
];

/// The question who is a router here, for 239.255.255.250:1900. Later versions of the device answer it too.
pub const SEARCH: &str = "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 2\r\n\
                          ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n";

/// Where an answer to [`SEARCH`] says that the description of the device is; `None`: no such answer.
pub fn location(datagram: &[u8]) -> Option<String> {
    let end = datagram.windows(4).position(|four| four == b"\r\n\r\n");
    let head = &datagram[..end.unwrap_or(datagram.len())];
    let head = Head::parse(head).ok()?;
    let router = head
        .get("ST")
        .is_some_and(|of| of.contains(":InternetGatewayDevice:"));
    let good = router && head.status_line().is_some_and(|line| line.code == 200);
    good.then(|| head.get("Location").map(str::to_owned))?
}

/// A service that maps ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its type, with its version.
    pub kind: String,
    /// Where it is asked: a URL, or a part of one.
    pub control: String,
}

/// The services of a description that map ports, and the base of its addresses if it names one. What is no XML has
/// none.
pub fn services(description: &str) -> (Option<String>, Vec<Service>) {
    let (mut base, mut all) = (None, Vec::new());
    let (mut kind, mut control) = (String::new(), String::new());
    elements(description, |name, text| match name {
        "URLBase" if base.is_none() && !text.is_empty() => base = Some(text.to_owned()),
        "serviceType" => text.clone_into(&mut kind),
        "controlURL" => text.clone_into(&mut control),
        "service" => {
            let (kind, control) = (std::mem::take(&mut kind), std::mem::take(&mut control));
            // It goes into a header line and into markup.
            let plain =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-' | b'.');
            let maps = SERVICES.iter().any(|service| kind.starts_with(service));
            if maps && kind.bytes().all(plain) && !control.is_empty() && all.len() < SERVICES_MAX {
                all.push(Service { kind, control });
            }
        }
        _ => {}
    });
    (base, all)
}

/// A call of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Value of the header `SOAPAction`.
    pub action: String,
    /// The body, XML.
    pub body: String,
}

/// "Have your `port` lead to `port` of `client`", for so many seconds; 0: for ever.
pub fn add(service: &str, transport: Transport, port: u16, client: &str, lease_s: u32) -> Call {
    let protocol = protocol(transport);
    call(
        service,
        "AddPortMapping",
        &format!(
            "<NewRemoteHost></NewRemoteHost><NewExternalPort>{port}</NewExternalPort>\
             <NewProtocol>{protocol}</NewProtocol><NewInternalPort>{port}</NewInternalPort>\
             <NewInternalClient>{client}</NewInternalClient><NewEnabled>1</NewEnabled>\
             <NewPortMappingDescription>filbert</NewPortMappingDescription>\
             <NewLeaseDuration>{lease_s}</NewLeaseDuration>"
        ),
    )
}

/// "Do so no longer."
pub fn delete(service: &str, transport: Transport, port: u16) -> Call {
    let protocol = protocol(transport);
    call(
        service,
        "DeletePortMapping",
        &format!(
            "<NewRemoteHost></NewRemoteHost><NewExternalPort>{port}</NewExternalPort>\
             <NewProtocol>{protocol}</NewProtocol>"
        ),
    )
}

fn protocol(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
    }
}

fn call(service: &str, action: &str, arguments: &str) -> Call {
    Call {
        action: format!("\"{service}#{action}\""),
        body: format!(
            "<?xml version=\"1.0\"?>\r\n\
             <s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
             <u:{action} xmlns:u=\"{service}\">{arguments}</u:{action}></s:Body></s:Envelope>\r\n"
        ),
    }
}

/// Why a router does not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Error 718.
    #[error("it has given that port to another machine; choose another with --listen 0.0.0.0:PORT")]
    Taken,
    /// Error 725: no end can be set.
    #[error("it takes no time limit")]
    OnlyForEver,
    /// Error 606, or refused over HTTP.
    #[error("it is forbidden there; allow UPnP in the settings of the router")]
    NotAllowed,
    /// Any other error of UPnP.
    #[error("it says {0}")]
    Other(u16),
    /// The body is no answer of this service.
    #[error("its answer makes no sense")]
    Nonsense,
}

/// What the answer to a call of `action` says, which came with this status of HTTP.
///
/// # Errors
/// [`Fault`].
pub fn answered(status: u16, body: &str, action: &str) -> Result<(), Fault> {
    let (mut error, mut done) = (None, false);
    let response = format!("{action}Response");
    elements(body, |name, text| match name {
        "errorCode" if error.is_none() => error = text.parse().ok(),
        name if name == response => done = true,
        _ => {}
    });
    match (status, error) {
        (200, None) if done => Ok(()),
        (_, Some(718)) => Err(Fault::Taken),
        (_, Some(725)) => Err(Fault::OnlyForEver),
        (_, Some(606)) | (401 | 403, None) => Err(Fault::NotAllowed),
        (_, Some(other)) => Err(Fault::Other(other)),
        (_, None) => Err(Fault::Nonsense),
    }
}

/// Calls `end` with the local name of each element at its end, and the text that stands last in it. What comes after
/// a fault is left out; entities of its own a text does not have.
fn elements(text: &str, mut end: impl FnMut(&str, &str)) {
    let mut reader = Reader::from_str(text);
    let mut content = String::new();
    let add = |content: &mut String, more: &str| {
        if content.len() + more.len() <= TEXT_BYTES_MAX {
            content.push_str(more);
        }
    };
    loop {
        match reader.read_event() {
            Err(_) | Ok(Event::Eof) => return,
            Ok(Event::Start(_)) => content.clear(),
            Ok(Event::Empty(element)) => end(element.local_name().as_ref(), ""),
            Ok(Event::Text(more)) => add(&mut content, &more),
            Ok(Event::CData(more)) => add(&mut content, &more),
            Ok(Event::GeneralRef(name)) => {
                if let Ok(Some(char)) = name.resolve_char_ref() {
                    add(&mut content, char.encode_utf8(&mut [0; 4]));
                } else if let Some(text) = resolve_predefined_entity(&name) {
                    add(&mut content, text);
                }
            }
            Ok(Event::End(element)) => {
                end(element.local_name().as_ref(), content.trim());
                content.clear();
            }
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";

    #[test]
    fn only_a_router_s_answer_has_a_location() {
        let answer = |status: &str, st: &str| {
            format!("HTTP/1.1 {status}\r\nST: {st}\r\nLOCATION: http://10.0.0.1:5000/d.xml\r\n\r\n")
        };
        let router = "urn:schemas-upnp-org:device:InternetGatewayDevice:2";
        let found = location(answer("200 OK", router).as_bytes());
        assert_eq!(found.as_deref(), Some("http://10.0.0.1:5000/d.xml"));
        let lamp = "urn:schemas-upnp-org:device:DimmableLight:1";
        for text in [
            answer("200 OK", lamp),
            answer("404 No", router),
            SEARCH.to_owned(),
            "NOTIFY * HTTP/1.1\r\nST: x\r\n\r\n".to_owned(),
            format!("HTTP/1.1 200 OK\r\nST: {router}\r\n\r\n"),
            String::new(),
        ] {
            assert_eq!(location(text.as_bytes()), None, "{text}");
        }
        assert_eq!(location(&[0xFF; 100]), None);
    }

    #[test]
    fn a_description_tells_its_services_that_map_ports() {
        let text = format!(
            "<?xml version='1.0'?><root xmlns='urn:schemas-upnp-org:device-1-0'><URLBase>http://10.0.0.1/</URLBase>\
             <device><serviceList><service><serviceType>urn:x:Layer3Forwarding:1</serviceType><controlURL>/l3\
             </controlURL></service></serviceList><deviceList><device><serviceList><service>\
             <controlURL> /ctl?a=1&amp;b=&#50; </controlURL><serviceType>{IP}</serviceType></service></serviceList>\
             </device></deviceList></device></root>"
        );
        let (base, found) = services(&text);
        assert_eq!(base.as_deref(), Some("http://10.0.0.1/"));
        let service = Service {
            kind: IP.to_owned(),
            control: "/ctl?a=1&b=2".to_owned(),
        };
        assert_eq!(found, [service]);
    }

    #[test]
    fn descriptions_that_lie_tell_nothing_or_little() {
        let service = |kind: &str, control: &str| {
            format!(
                "<service><serviceType>{kind}</serviceType><controlURL>{control}</controlURL></service>"
            )
        };
        for text in [
            String::new(),
            "<".repeat(1_000),
            "<a>".repeat(10_000),
            service(IP, ""),
            service(&format!("{IP}\r\nX: y"), "/c"),
            service(&format!("{IP}\"&gt;"), "/c"),
            service("urn:x:Other:1", "/c"),
            "<!DOCTYPE a [<!ENTITY b \"c\">]><service><serviceType>&b;</serviceType></service>"
                .to_owned(),
        ] {
            assert_eq!(services(&text).1, [], "{text:.60}");
        }
        let many = service(IP, "/c").repeat(1_000);
        assert_eq!(services(&many).1.len(), SERVICES_MAX);
        let long = service(IP, &"/c".repeat(100_000));
        assert_eq!(services(&long).1, []);
    }

    #[test]
    fn an_answer_is_a_response_or_a_fault() {
        let body = "<s:Envelope xmlns:s='x'><s:Body><u:AddPortMappingResponse xmlns:u='y'/></s:Body></s:Envelope>";
        assert_eq!(answered(200, body, "AddPortMapping"), Ok(()));
        let open = "<a:AddPortMappingResponse xmlns:a='y'></a:AddPortMappingResponse>";
        assert_eq!(answered(200, open, "AddPortMapping"), Ok(()));
        let fault = |code: &str| {
            format!(
                "<s:Fault><detail><UPnPError><errorCode>{code}</errorCode><errorDescription>no\
                 </errorDescription></UPnPError></detail></s:Fault>"
            )
        };
        for (status, body, found) in [
            (500, fault("718"), Fault::Taken),
            (500, fault("725"), Fault::OnlyForEver),
            (500, fault("606"), Fault::NotAllowed),
            (500, fault("501"), Fault::Other(501)),
            (500, fault("99999999999"), Fault::Nonsense),
            (200, fault("501"), Fault::Other(501)),
            (500, body.to_owned(), Fault::Nonsense),
            (200, body.replace("Add", "Delete"), Fault::Nonsense),
            (200, String::new(), Fault::Nonsense),
            (401, String::new(), Fault::NotAllowed),
        ] {
            assert_eq!(
                answered(status, &body, "AddPortMapping"),
                Err(found),
                "{status} {body}"
            );
        }
    }

    #[test]
    fn a_call_names_its_service_and_the_machine() {
        let call = add(IP, Transport::Tcp, 6346, "10.0.0.7", 7_200);
        assert_eq!(call.action, format!("\"{IP}#AddPortMapping\""));
        for part in [
            "<NewExternalPort>6346</NewExternalPort>",
            "<NewProtocol>TCP</NewProtocol>",
            "<NewInternalClient>10.0.0.7</NewInternalClient>",
            "<NewLeaseDuration>7200</NewLeaseDuration>",
        ] {
            assert!(call.body.contains(part), "{part} in {}", call.body);
        }
        let end = delete(IP, Transport::Udp, 6346);
        assert!(end.body.contains("<u:DeletePortMapping") && end.body.contains("UDP"));
    }
}
