//! The keeper's desk: one line asks for a deed, one line says what came of it. It is a socket in the folder of the
//! network, which is open to nobody else.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use super::deed::{Came, Deed, Done};
use super::place::disk;
use crate::cli::exit::{Exit, Failure};
use crate::disk::store::Home;

/// Bytes of one line: a deed on all links and nodes there can be is shorter.
const LINE_MAX: u64 = 4 << 20;
/// Whoever connects has so long to say what it wants.
const ASK_TIME: Duration = Duration::from_secs(5);
/// A deed has so long: hundreds of nodes may have to start on two cores.
const DEED_TIME: Duration = Duration::from_mins(4);

/// A deed that is asked for, and where what came of it goes.
pub(super) type Asked = (Deed, mpsc::Sender<Came>);

/// The keeper's end.
#[derive(Debug)]
pub(super) struct Desk {
    socket: PathBuf,
    asked: mpsc::Receiver<Asked>,
}

impl Desk {
    /// Opens the desk of the network in this folder.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn open(dir: &Path) -> Result<Self, Failure> {
        let socket = socket(dir)?;
        let failed = |error| disk(&socket, "cannot be opened", &error);
        // One that a killed keeper left.
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).map_err(failed)?;
        let (tell, asked) = mpsc::channel();
        // Detached: it lives as long as the keeper.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // An error: whoever asked has gone, or said nothing that can be read.
                let _ = serve(&stream, &tell);
            }
        });
        Ok(Self { socket, asked })
    }

    /// The next deed asked for within this time.
    pub(super) fn next(&self, wait: Duration) -> Option<Asked> {
        self.asked.recv_timeout(wait).ok()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // An error: the folder is gone already.
        let _ = fs::remove_file(&self.socket);
    }
}

fn socket(dir: &Path) -> Result<PathBuf, Failure> {
    let home = Home::at(dir).and_then(|home| home.create().map(|()| home));
    let home = home.map_err(|error| disk(dir, "cannot hold a socket", &error))?;
    Ok(home.socket().to_owned())
}

fn serve(stream: &UnixStream, tell: &mpsc::Sender<Asked>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(ASK_TIME))?;
    stream.set_write_timeout(Some(ASK_TIME))?;
    let mut line = String::new();
    BufReader::new(stream).take(LINE_MAX).read_line(&mut line)?;
    let came = match serde_json::from_str(&line) {
        Ok(deed) => {
            let (answer, answered) = mpsc::channel();
            // The keeper is ending when nobody takes it.
            let _ = tell.send((deed, answer));
            answered.recv().unwrap_or_else(|_| Came::Failed {
                exit: Exit::NoNetwork.code(),
                message: "the network is being stopped".to_owned(),
            })
        }
        Err(error) => Came::Failed {
            exit: Exit::Usage.code(),
            message: format!("the keeper of the network is of another version: {error}"),
        },
    };
    let mut line = serde_json::to_string(&came).expect("plain data is JSON");
    line.push('\n');
    (&mut &*stream).write_all(line.as_bytes())
}

/// Has the keeper of the network in this folder do something.
///
/// # Errors
/// The keeper does not answer; what it says went wrong.
pub(in crate::cli::lab) fn ask(dir: &Path, deed: &Deed) -> Result<Done, Failure> {
    let gone = |error: std::io::Error| {
        let text = format!(
            "the keeper of the network does not answer: {error}; see `filbert lab ps`, or begin again with `filbert lab \
             down` and `lab up`"
        );
        Failure::new(Exit::NoNetwork, text)
    };
    let stream = UnixStream::connect(socket(dir)?).map_err(gone)?;
    stream
        .set_read_timeout(Some(DEED_TIME))
        .and_then(|()| stream.set_write_timeout(Some(ASK_TIME)))
        .map_err(gone)?;
    let mut line = serde_json::to_string(deed).expect("plain data is JSON");
    line.push('\n');
    (&stream).write_all(line.as_bytes()).map_err(gone)?;
    let mut answer = String::new();
    BufReader::new(&stream)
        .take(LINE_MAX)
        .read_line(&mut answer)
        .map_err(gone)?;
    match serde_json::from_str(&answer) {
        Ok(Came::Done(done)) => Ok(done),
        Ok(Came::Failed { exit, message }) => Err(Failure::new(Exit::of_code(exit), message)),
        Err(error) => Err(gone(error.into())),
    }
}
