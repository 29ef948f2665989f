//! A TLS client that shares no code with ours: rustls on a blocking socket.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use filbert::wire::{Frame, FrameReader, Kind};
use futures_rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use futures_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};

const SOON: Duration = Duration::from_secs(30);

pub(crate) struct Client {
    inside: StreamOwned<ClientConnection, TcpStream>,
    frames: FrameReader,
}

impl Client {
    /// TLS from the first byte.
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).unwrap())
    }

    /// TLS from here on.
    pub(crate) fn over(stream: TcpStream) -> Self {
        Self::over_behind(stream, b"")
    }

    /// The same, with the hello right behind these bytes, in one write.
    pub(crate) fn over_behind(mut stream: TcpStream, before: &[u8]) -> Self {
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut session = session();
        let mut hello = before.to_vec();
        session.write_tls(&mut hello).unwrap();
        stream.write_all(&hello).unwrap();
        Self {
            inside: StreamOwned::new(session, stream),
            frames: FrameReader::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.inside.write_all(bytes).unwrap();
        self.inside.flush().unwrap();
    }

    pub(crate) fn head(&mut self) -> String {
        head_of(&mut self.inside)
    }

    /// The next frame of a kind; others are passed over.
    pub(crate) fn next_of(&mut self, kind: Kind) -> Frame {
        loop {
            while let Some(frame) = self.frames.next_frame().unwrap() {
                if frame.header.kind == kind {
                    return frame;
                }
            }
            let mut chunk = vec![0; 65_536];
            let len = self.inside.read(&mut chunk).unwrap();
            assert!(len > 0, "closed, and no {kind:?} came");
            chunk.truncate(len);
            self.frames.push(Bytes::from(chunk));
        }
    }
}

impl Read for Client {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.inside.read(buffer)
    }
}

/// A session that has not said anything yet.
pub(crate) fn session() -> ClientConnection {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let name = ServerName::try_from("nobody.example").unwrap();
    ClientConnection::new(Arc::new(config), name).unwrap()
}

/// Reads a head: all up to an empty line.
pub(crate) fn head_of(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "closed within a head");
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Takes everybody for who they are: what is tested is not their name.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
