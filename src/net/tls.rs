//! TLS on a socket: the only file that names rustls and rcgen.
//!
//! Encryption without identity. Nodes have no names and nobody signs for them, so that a client takes any certificate
//! (its signature on the handshake is verified: whoever shows it holds its key) and each run of a node makes a new one.
//! That keeps out who only listens; who can come between the two sides can read everything (docs/protocol.md, TLS).
//!
//! No session is resumed and none is remembered: a ticket would let others recognise a node, and costs memory.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use futures_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use futures_rustls::rustls::client::{ClientConfig, Resumption};
use futures_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use futures_rustls::rustls::server::{NoServerSessionStorage, ServerConfig};
use futures_rustls::rustls::{
    DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion, version,
};
use futures_rustls::{TlsAcceptor, TlsConnector};

use super::conn::Stream;
use super::rt::{self, Read, TcpStream, Write};

/// A handshake must be over within this. It takes two round trips and a few milliseconds of work; our estimate.
pub(super) const HANDSHAKE_TIME: Duration = Duration::from_secs(15);
/// First byte of a connection that begins with TLS: a record of the handshake.
pub(super) const FIRST_BYTE: u8 = 0x16;

/// TLS over one socket.
pub(super) type Session = futures_rustls::TlsStream<Begun>;

/// What the handshakes of one node share. Clones share it too.
#[derive(Clone)]
pub(crate) struct Tls {
    server: TlsAcceptor,
    client: Caller,
    /// Handshakes of those who called us that failed.
    failed: Arc<AtomicU64>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// With a key and a certificate made now; `None`: this program was built without.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(crate) fn new() -> io::Result<Option<Self>> {
        let (certificate, key) = certificate()?;
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)
            .and_then(|builder| {
                builder
                    .with_no_client_auth()
                    .with_single_cert(vec![certificate], key)
            })
            .map_err(io::Error::other)?;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(Some(Self {
            server: Arc::new(server).into(),
            client: Caller::new()?,
            failed: Arc::default(),
        }))
    }

    /// As the side that was called. `unread`: what was read from the socket already. A handshake that fails, or that
    /// the caller of this gives up, is counted.
    ///
    /// # Errors
    /// It fails, or takes longer than [`HANDSHAKE_TIME`].
    pub(super) async fn accept(&self, socket: TcpStream, unread: Vec<u8>) -> io::Result<Stream> {
        let mut attempt = Attempt(Some(&self.failed));
        let begun = Begun::new(socket.clone(), unread);
        let session = in_time(Box::pin(self.server.accept(begun))).await?;
        attempt.0 = None;
        Ok(Stream::encrypted(socket, session.into()))
    }

    /// As the side that calls.
    ///
    /// # Errors
    /// It fails, or takes longer than [`HANDSHAKE_TIME`].
    pub(super) async fn connect(&self, socket: TcpStream) -> io::Result<Stream> {
        self.client.connect(socket).await
    }

    /// The same, with a count of failures of its own.
    pub(super) fn counting_apart(&self) -> Self {
        Self {
            failed: Arc::default(),
            ..self.clone()
        }
    }

    /// Handshakes that failed, by the name that stands beside the drops of the core.
    pub(crate) fn counted(&self) -> (String, u64) {
        let failed = self.failed.load(Ordering::Relaxed);
        ("tls_failed".to_owned(), failed)
    }
}

/// Counts one failure when dropped with something inside.
struct Attempt<'a>(Option<&'a AtomicU64>);

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(failed) = self.0 {
            failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What it takes to call others: no key and no certificate.
#[derive(Clone)]
pub(crate) struct Caller(TlsConnector);

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").finish_non_exhaustive()
    }
}

impl Caller {
    fn new() -> io::Result<Self> {
        let provider = provider();
        let anybody = Arc::new(Anybody(provider.clone()));
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(VERSIONS)
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(anybody)
            .with_no_client_auth();
        client.resumption = Resumption::disabled();
        client.enable_sni = false;
        Ok(Self(Arc::new(client).into()))
    }

    /// For those who only fetch; `None`: this program was built without.
    pub(super) fn shared() -> Option<&'static Self> {
        static SHARED: std::sync::OnceLock<Option<Caller>> = std::sync::OnceLock::new();
        SHARED.get_or_init(|| Self::new().ok()).as_ref()
    }

    /// # Errors
    /// The handshake fails, or takes longer than [`HANDSHAKE_TIME`].
    pub(super) async fn connect(&self, socket: TcpStream) -> io::Result<Stream> {
        // Sent to nobody, and checked against nothing.
        let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into());
        let begun = Begun::new(socket.clone(), Vec::new());
        let session = in_time(Box::pin(self.0.connect(name, begun))).await?;
        Ok(Stream::encrypted(socket, session.into()))
    }
}

async fn in_time<T>(handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match rt::timeout(HANDSHAKE_TIME, handshake).await {
        Ok(outcome) => outcome,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// The token in the headers is `TLS/1.0`, and means none of those that are broken.
const VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A fresh key with a certificate that says nothing.
fn certificate() -> io::Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
    let key = rcgen::KeyPair::generate().map_err(io::Error::other)?;
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "gnutella");
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    Ok((certificate.into(), key))
}

/// Takes any certificate, as long as its owner signs the handshake with its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Reads what has come; 0 at the end. Many end without the goodbye of TLS: what is cut short by that is noticed by
/// what was promised, a length or a hash.
pub(super) fn poll_read(
    session: &mut Session,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    match Pin::new(session).poll_read(cx, buffer) {
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Poll::Ready(Ok(0))
        }
        other => other,
    }
}

/// A socket of which something was read already: that comes first.
#[derive(Debug)]
pub(super) struct Begun {
    socket: TcpStream,
    unread: Vec<u8>,
    at: usize,
}

impl Begun {
    fn new(socket: TcpStream, unread: Vec<u8>) -> Self {
        Self {
            socket,
            unread,
            at: 0,
        }
    }
}

impl Read for Begun {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let left = &this.unread[this.at..];
        if left.is_empty() {
            this.unread = Vec::new();
            this.at = 0;
            return Pin::new(&mut this.socket).poll_read(cx, buffer);
        }
        let len = left.len().min(buffer.len());
        buffer[..len].copy_from_slice(&left[..len]);
        this.at += len;
        Poll::Ready(Ok(len))
    }
}

impl Write for Begun {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_close(cx)
    }
}
