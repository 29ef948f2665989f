//! SHELL 2: SOCKETS. The core on real sockets: tasks, deadlines and bytes, no protocol decisions.

mod http;
pub(crate) mod rt;
