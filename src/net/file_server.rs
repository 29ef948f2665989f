//! Files over HTTP without an overlay: for programs that want only that, and for tests of serving.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::conn::Stream;
use super::partials::Partials;
use super::rt::{self, TcpListener};
use super::sharing::Sharing;
use super::upload::{self, Face, Serving};
use crate::node::library::{FileView, Library};
use crate::node::uploads::UploadLimits;
use crate::wire::ServentId;

pub use super::upload::{Files, UploadFigures};

/// A running server. Stops accepting when dropped; uploads under way go on to their end.
#[derive(Debug)]
pub struct FileServer {
    addr: SocketAddr,
    serving: Arc<Serving>,
    /// Closed by being dropped.
    _open: rt::Sender<()>,
}

impl FileServer {
    /// Serves `files` on `listen` (port 0: any). `limit_up`: bytes a second over all uploads.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn start(
        listen: SocketAddr,
        files: Arc<dyn Files>,
        limits: UploadLimits,
        limit_up: Option<u64>,
    ) -> io::Result<Self> {
        let listener = TcpListener::from(std::net::TcpListener::bind(listen)?);
        let addr = listener.local_addr()?;
        let face = Face {
            listen: addr,
            servent: ServentId::from_random([0; 16]),
            name: String::new(),
        };
        let serving = Arc::new(Serving::new(files, face, limits, limit_up, |_| {}));
        let (open, closed) = rt::bounded::<()>(1);
        let shared = serving.clone();
        // Detached: ends when `closed` does. Each connection ends by its own deadlines.
        rt::spawn(rt::unless(
            async move { _ = closed.recv().await },
            async move {
                loop {
                    if let Ok((stream, remote)) = listener.accept().await {
                        rt::spawn(upload::serve(
                            Stream::Plain(stream),
                            remote,
                            Vec::new(),
                            shared.clone(),
                        ));
                    }
                }
            },
        ));
        Ok(Self {
            addr,
            serving,
            _open: open,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The unfinished files that are served too.
    pub fn partials(&self) -> Partials {
        self.serving.partials().clone()
    }

    /// For downloads that this server offers while they run. Which ones may be is up to the caller.
    pub fn sharing(&self) -> Sharing {
        Sharing::new(self.serving.clone(), self.addr)
    }

    /// Figures of now.
    pub fn figures(&self) -> UploadFigures {
        self.serving.figures()
    }
}

/// Some files of one folder, under a fixed index. Knows nothing of changes, rules or hashing: a node has
/// [`disk`](crate::disk) for those.
#[derive(Debug)]
pub struct FixedFiles {
    folder: std::path::PathBuf,
    library: Arc<Library>,
}

impl FixedFiles {
    /// Files of `folder` that are in `library`, by their paths there.
    pub fn new(folder: std::path::PathBuf, library: Library) -> Self {
        Self {
            folder,
            library: Arc::new(library),
        }
    }
}

impl Files for FixedFiles {
    fn library(&self) -> Arc<Library> {
        self.library.clone()
    }

    fn open(&self, file: FileView<'_>) -> io::Result<File> {
        File::open(self.folder.join(file.path))
    }

    fn outdated(&self) {}
}
