//! A peer made by hand: bytes on a blocking socket, with a deadline for each read.
#![allow(dead_code, reason = "each test takes what it needs")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use filbert::wire::deflate::{Inflated, Inflater};
use filbert::wire::query::{Query, QueryFlags};
use filbert::wire::{Frame, FrameReader, Guid, Header, Kind};

const SOON: Duration = Duration::from_secs(30);

pub(crate) struct Raw {
    stream: TcpStream,
    frames: FrameReader,
    inflater: Option<Inflater>,
}

impl Raw {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).unwrap())
    }

    /// The same, from another address of this machine.
    pub(crate) fn connect_from(from: IpAddr, to: SocketAddr) -> Self {
        use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddr::new(from, 0)).unwrap();
        connect(&socket, &to).unwrap();
        Self::over(TcpStream::from(socket))
    }

    /// Waits until the other side closes without having said a word, or resets.
    pub(crate) fn closed_without_a_word(&mut self) -> bool {
        match self.stream.read(&mut [0]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        Self {
            stream,
            frames: FrameReader::new(),
            inflater: None,
        }
    }

    /// Takes in little before it is read from.
    pub(crate) fn narrow(&self) {
        rustix::net::sockopt::set_socket_recv_buffer_size(&self.stream, 256 * 1024).unwrap();
    }

    /// Waits for a call to `listener`, and links as an ultrapeer that says this too.
    pub(crate) fn accept(listener: &TcpListener, headers: &str) -> Self {
        Self::accept_and_show(listener, headers).2
    }

    /// The same, with the first and the last head of the caller.
    pub(crate) fn accept_and_show(listener: &TcpListener, headers: &str) -> (String, String, Self) {
        let mut raw = Self::over(listener.accept().unwrap().0);
        let offer = raw.head();
        let answer = format!("GNUTELLA/0.6 200 OK\r\nX-Ultrapeer: True\r\n{headers}\r\n");
        raw.send(answer.as_bytes());
        let confirmed = raw.head();
        (offer, confirmed, raw)
    }

    /// Waits for a call to `listener` and says nothing.
    pub(crate) fn taken(listener: &TcpListener) -> Self {
        Self::over(listener.accept().unwrap().0)
    }

    /// Reads a line with its end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\n") {
            assert_eq!(self.stream.read(&mut byte).unwrap(), 1, "closed in a line");
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    /// From here on the other side writes deflated.
    pub(crate) fn inflates(&mut self) {
        self.inflater = Some(Inflater::default());
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Writes no more.
    pub(crate) fn hang_up(&self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// `false`: the other side has closed.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Offers to link and returns the answer's head.
    pub(crate) fn offer(&mut self, headers: &str) -> String {
        let offer = format!("GNUTELLA CONNECT/0.6\r\nUser-Agent: raw\r\n{headers}\r\n");
        self.send(offer.as_bytes());
        self.head()
    }

    /// Reads a head: all up to an empty line.
    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            assert_eq!(
                self.stream.read(&mut byte).unwrap(),
                1,
                "closed within a head"
            );
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    /// Offers to link, and links.
    pub(crate) fn link(&mut self, headers: &str) {
        let answer = self.offer(headers);
        assert!(answer.starts_with("GNUTELLA/0.6 200 "), "{answer}");
        self.send(b"GNUTELLA/0.6 200 OK\r\n\r\n");
    }

    /// The next frame of a kind; others are passed over.
    pub(crate) fn next_of(&mut self, kind: Kind) -> Frame {
        loop {
            let frame = self.next_frame();
            if frame.header.kind == kind {
                return frame;
            }
        }
    }

    /// The next frame of any kind.
    pub(crate) fn next_frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.frames.next_frame().unwrap() {
                return frame;
            }
            let mut chunk = vec![0; 65_536];
            let len = self.stream.read(&mut chunk).unwrap();
            assert!(len > 0, "closed before a frame came");
            chunk.truncate(len);
            if let Some(inflater) = &mut self.inflater {
                let mut inflated = Vec::new();
                let outcome = inflater.inflate(&chunk, &mut inflated, 1 << 24).unwrap();
                assert_eq!(outcome, Inflated::All);
                chunk = inflated;
            }
            self.frames.push(Bytes::from(chunk));
        }
    }

    /// Reads until the other side closes.
    pub(crate) fn until_closed(&mut self) {
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
                Err(error) => panic!("not closed: {error}"),
            }
        }
    }
}

/// A header of 23 bytes that claims `len` payload bytes.
pub(crate) fn header(kind: Kind, ttl: u8, hops: u8, len: u32) -> Vec<u8> {
    Header {
        guid: Guid([9; 16]),
        kind,
        ttl,
        hops,
    }
    .to_bytes(len)
    .to_vec()
}

pub(crate) fn frame(kind: Kind, tag: u8, ttl: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        guid: Guid([tag; 16]),
        kind,
        ttl,
        hops,
    };
    Frame {
        header,
        payload: Bytes::copy_from_slice(payload),
    }
    .to_vec()
}

pub(crate) fn query(tag: u8, ttl: u8, hops: u8, text: &str) -> Vec<u8> {
    let query = Query {
        flags: QueryFlags::OURS,
        text: text.into(),
        sha1s: Vec::new(),
        media: None,
    };
    let payload = match text {
        "" => b"\x88\0\0".to_vec(),
        _ => query.build().unwrap(),
    };
    frame(Kind::Query, tag, ttl, hops, &payload)
}

/// A hit of one file from 127.0.0.1:1.
pub(crate) fn hit_payload() -> Vec<u8> {
    use filbert::wire::ServentId;
    use filbert::wire::hit::{QueryHit, Record};
    QueryHit {
        speed_kbps: 1000,
        records: vec![Record {
            index: 1,
            size: 5,
            name: "one two.txt".into(),
            ..Record::default()
        }],
        vendor: *b"TEST",
        push: Some(false),
        busy: Some(false),
        ..QueryHit::new(
            "127.0.0.1:1".parse().unwrap(),
            ServentId([7; 16]),
            Vec::new(),
        )
    }
    .build()
}
