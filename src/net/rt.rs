//! The only file that names `async_std`. Whatever the shell needs of a runtime passes through here, so
//! that another runtime (smol has each of these with the same io traits) is a change of one file.
#![allow(
    unused_imports,
    reason = "the rooms round this one take what they need, as they grow"
)]

pub(crate) use async_std::channel::{
    Receiver, RecvError, SendError, Sender, TryRecvError, TrySendError, bounded,
};
pub(crate) use async_std::future::{TimeoutError, timeout};
pub(crate) use async_std::io::{Read, ReadExt, Write, WriteExt};
pub(crate) use async_std::net::{TcpListener, TcpStream};
#[cfg(unix)]
pub(crate) use async_std::os::unix::net::{UnixListener, UnixStream};
pub(crate) use async_std::task::{JoinHandle, block_on, sleep, spawn, spawn_blocking};
