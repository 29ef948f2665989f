//! Somebody who listens on the way: a relay that keeps all that passes, in both directions.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub(crate) struct Tap {
    /// Connect here to get there.
    pub(crate) addr: SocketAddr,
    heard: Arc<Mutex<Heard>>,
}

/// What passed, one piece for each direction of each connection.
type Heard = Vec<Vec<u8>>;

impl Tap {
    pub(crate) fn to(there: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let heard = Arc::<Mutex<Heard>>::default();
        let shared = heard.clone();
        // Ends with the test process.
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (near, far) = (near.unwrap(), TcpStream::connect(there).unwrap());
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let heard = shared.clone();
                    std::thread::spawn(move || pass(from, to, &heard));
                }
            }
        });
        Self { addr, heard }
    }

    /// All that has passed so far, one piece for each direction of each connection.
    pub(crate) fn heard(&self) -> Heard {
        self.heard.lock().unwrap().clone()
    }

    /// Whether these bytes passed in any direction.
    pub(crate) fn has_heard(&self, part: &[u8]) -> bool {
        let has = |bytes: &Vec<u8>| bytes.windows(part.len()).any(|window| window == part);
        self.heard().iter().any(has)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, heard: &Mutex<Heard>) {
    let at = {
        let mut heard = heard.lock().unwrap();
        heard.push(Vec::new());
        heard.len() - 1
    };
    let mut buffer = [0; 16 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        heard.lock().unwrap()[at].extend_from_slice(&buffer[..len]);
        if to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
