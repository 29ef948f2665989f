//! Ctrl-C and SIGTERM: the first asks a command to end well, the second ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cli::exit::Exit;
use crate::net::rt;

/// How long an interrupt may go unnoticed: commands look this often while they wait.
pub const LOOK: Duration = Duration::from_millis(50);

/// Whether somebody asked this process to end.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    asked: Arc<AtomicBool>,
}

impl Interrupt {
    /// Watches from now on.
    pub fn watch() -> Self {
        let interrupt = Self::default();
        let asked = Arc::clone(&interrupt.asked);
        // Detached: it lives as long as the process.
        std::thread::spawn(move || {
            loop {
                if let Err(error) = rt::block_on(rt::asked_to_end()) {
                    log::warn!("cannot watch for Ctrl-C: {error}; end this program with SIGKILL");
                    return;
                }
                if asked.swap(true, Ordering::Relaxed) {
                    std::process::exit(Exit::Interrupted.code().into());
                }
            }
        });
        interrupt
    }

    /// Somebody asked.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// The flag itself, for work on other threads.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.asked)
    }
}
