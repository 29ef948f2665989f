//! Connections handed over on the control socket: one that a push brought to the node's port goes to the command that
//! wanted it, as a descriptor beside the reply's line. From then on the node has no part in it; but for TLS, whose
//! session cannot be handed over: then the command gets one end of a pipe, and the node passes on what goes through it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::send;
use crate::control::{self, Reply, Request};
use crate::net::conn::Stream;
use crate::net::pusher::{self, COMES_WITHIN, NoneCame, Walled};
use crate::net::requests::Desk;
use crate::net::rt::{self, ReadExt, TcpStream, UnixStream, WatchedUnix, WriteExt};
use crate::wire::ServentId;

/// Bytes of an answer: a line that says why not.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// What the node may take beyond the wait for the connection.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Begins the text of an error that came only after the wait, so that the asker can tell.
const IN_TIME: &str = "no connection came: ";

/// Answers [`Request::Push`].
pub(super) async fn answer(
    stream: &UnixStream,
    desk: &Desk,
    servent: &str,
    index: u32,
    proxies: Vec<SocketAddr>,
    net: Option<control::Net>,
) {
    let Some(id) = ServentId::from_hex(servent) else {
        let message =
            format!("{servent:?} is no servent id: 32 hexadecimal digits, as hits have them");
        send(stream, &Reply::Error { message }).await;
        return;
    };
    let whom = Walled {
        servent: id,
        index,
        proxies,
        net: net.map(Into::into),
    };
    let message = match pusher::call(desk, None, &whom).await {
        Ok(brought) => match hand_over(stream, brought) {
            Ok(()) => {
                send(stream, &Reply::Done).await;
                return;
            }
            Err(error) => format!("the connection cannot be handed over: {error}"),
        },
        Err(NoneCame::NotAsked(why)) => why,
        Err(NoneCame::InTime(why)) => format!("{IN_TIME}{why}"),
    };
    send(stream, &Reply::Error { message }).await;
}

/// Hands a connection over; one with TLS goes on as long as the command and the other side want it.
fn hand_over(stream: &UnixStream, brought: Stream) -> io::Result<()> {
    if let Stream::Plain(socket) = &brought {
        return send_with(stream, &Reply::Pushed, socket.as_fd());
    }
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    send_with(stream, &Reply::Pushed, theirs.as_fd())?;
    let ours = UnixStream::from(ours);
    // Detached: it ends when either side has gone.
    rt::spawn(async move {
        let (mut requests, mut answers, mut outside) = (&ours, &brought, &ours);
        let out = async {
            // Requests are small and come one by one: what was written is sent at once.
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = requests.read(&mut buffer).await {
                brought.send(&buffer[..len]).await?;
            }
            Ok::<_, io::Error>(0)
        };
        let back = futures_lite::io::copy(&mut answers, &mut outside);
        let _ = futures_lite::future::or(out, back).await;
        brought.shut();
    });
    Ok(())
}

/// Sends the line of a reply with a descriptor. It is the first thing on its connection, so there is room for it.
fn send_with(stream: &UnixStream, reply: &Reply, brought: BorrowedFd<'_>) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    let descriptors = [brought];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    beside.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = sendmsg(
        stream,
        &[IoSlice::new(&line)],
        &mut beside,
        SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    )?;
    if sent == line.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

/// Asks the node at this control socket to have `whom` connect, and takes over the connection.
pub(in crate::net) async fn call(socket: &Path, whom: &Walled) -> Result<Stream, NoneCame> {
    let talk = async {
        let mut stream = WatchedUnix::connect(socket).await?;
        let request = Request::Push {
            servent: whom.servent.to_string(),
            index: whom.index,
            push_proxies: whom.proxies.clone(),
            net: whom.net.map(Into::into),
        };
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        take_over(&stream).await
    };
    match rt::timeout(COMES_WITHIN + ANSWER_TIME, talk).await {
        Ok(Ok(Ok(stream))) => Ok(stream),
        Ok(Ok(Err(why))) => Err(match why.strip_prefix(IN_TIME) {
            Some(why) => NoneCame::InTime(why.to_owned()),
            None => NoneCame::NotAsked(why),
        }),
        Ok(Err(error)) => Err(NoneCame::NotAsked(format!(
            "the running node does not answer: {error}"
        ))),
        Err(_) => Err(NoneCame::InTime(
            "the running node does not answer in time".to_owned(),
        )),
    }
}

/// Reads the answer: a connection, or why there is none.
async fn take_over(stream: &WatchedUnix) -> io::Result<Result<Stream, String>> {
    let (mut answer, mut brought) = (Vec::new(), None);
    loop {
        let (bytes, with) = stream.read_with(|stream| receive(stream.as_fd())).await?;
        if bytes.is_empty() || answer.len() > ANSWER_BYTES_MAX {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        brought = brought.or(with);
        answer.extend_from_slice(&bytes);
        let Some(end) = answer.iter().position(|byte| *byte == b'\n') else {
            continue;
        };
        return match (serde_json::from_slice(&answer[..end])?, brought) {
            (Reply::Pushed, Some(brought)) => {
                // Maybe one end of a pipe: all that is different is that it has no addresses.
                let stream = std::net::TcpStream::from(brought);
                stream.set_nonblocking(true)?;
                Ok(Ok(Stream::Plain(TcpStream::from(stream))))
            }
            (Reply::Error { message }, _) => Ok(Err(message)),
            (_, _) => Err(io::ErrorKind::InvalidData.into()),
        };
    }
}

/// What can be read now, and the descriptor that came with it.
fn receive(stream: BorrowedFd<'_>) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut bytes = vec![0; 1024];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let read = recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut beside,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let brought = beside.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    bytes.truncate(read.bytes);
    Ok((bytes, brought))
}
