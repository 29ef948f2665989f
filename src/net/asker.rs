//! Asking a node from any thread, whether it is in this process or another.

use std::io;
use std::sync::Arc;

use super::control::Client;
use super::replies::Replies;
use super::requests::{self, Desk};
use super::rt;
use crate::control::Request;

/// Replies that wait for their reader before the request does.
const REPLIES_MAX: usize = 64;

/// Whom to ask. Clones ask the same node; one that has ended answers with an error.
#[derive(Clone, Debug)]
pub struct Asker(To);

#[derive(Clone, Debug)]
enum To {
    Here(Arc<Desk>),
    There(Client),
}

impl Asker {
    pub(super) fn here(desk: Arc<Desk>) -> Self {
        Self(To::Here(desk))
    }

    pub(super) fn there(client: Client) -> Self {
        Self(To::There(client))
    }

    /// Asks. Dropping the replies ends a search.
    ///
    /// # Errors
    /// The running node has ended.
    pub fn request(&self, request: &Request) -> io::Result<Replies> {
        match &self.0 {
            To::There(client) => client.request(request),
            To::Here(desk) => Ok(ask(desk.clone(), request.clone())),
        }
    }
}

/// Asks the node of this desk.
pub(super) fn ask(desk: Arc<Desk>, request: Request) -> Replies {
    let (replies, answers) = rt::bounded(REPLIES_MAX);
    let (hold, let_go) = rt::bounded::<()>(1);
    // Detached: it ends with the last reply, or when `Replies` is dropped.
    rt::spawn(async move {
        let dropped = async {
            let _ = let_go.recv().await;
        };
        rt::unless(dropped, requests::answer(request, &desk, replies)).await;
    });
    Replies::local(answers, hold)
}
