//! Ctrl-C and SIGTERM: the first asks a command to end well, the second ends the process.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::cli::exit::Exit;
use crate::net::rt;

/// How long an interrupt may go unnoticed: commands look this often while they wait.
pub const LOOK: Duration = Duration::from_millis(50);

/// What is called at the first.
type Hook = Box<dyn FnOnce() + Send>;

/// Whether somebody asked this process to end.
#[derive(Clone, Default)]
pub struct Interrupt {
    asked: Arc<AtomicBool>,
    hooks: Arc<Mutex<Vec<Hook>>>,
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupt")
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}

impl Interrupt {
    /// Watches from now on.
    pub fn watch() -> Self {
        let interrupt = Self::default();
        let refused = |error: std::io::Error| {
            log::warn!("cannot watch for Ctrl-C: {error}; end this program with SIGKILL");
        };
        // Here and not on the thread: when this returns, no signal goes unnoticed any more.
        let mut signals = match rt::EndSignals::watch() {
            Ok(signals) => signals,
            Err(error) => {
                refused(error);
                return interrupt;
            }
        };
        let watched = interrupt.clone();
        // Detached: it lives as long as the process.
        std::thread::spawn(move || {
            loop {
                if let Err(error) = rt::block_on(signals.next()) {
                    return refused(error);
                }
                if watched.asked.swap(true, Ordering::SeqCst) {
                    std::process::exit(Exit::Interrupted.code().into());
                }
                watched.call_hooks();
            }
        });
        interrupt
    }

    /// Somebody asked.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// Calls this once somebody asks; at once if that has happened. Meant for few and short calls: each stays
    /// until the process ends.
    pub fn on_asked(&self, hook: impl FnOnce() + Send + 'static) {
        self.hooks().push(Box::new(hook));
        if self.asked() {
            self.call_hooks();
        }
    }

    fn call_hooks(&self) {
        let hooks = std::mem::take(&mut *self.hooks());
        for hook in hooks {
            hook();
        }
    }

    fn hooks(&self) -> MutexGuard<'_, Vec<Hook>> {
        // A panic while it was held leaves a list that is still one.
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_late_is_called_too() {
        let interrupt = Interrupt::default();
        let called = Arc::new(AtomicBool::new(false));
        let hook = |called: &Arc<AtomicBool>| {
            let called = Arc::clone(called);
            move || called.store(true, Ordering::SeqCst)
        };
        interrupt.on_asked(hook(&called));
        assert!(!called.load(Ordering::SeqCst));
        interrupt.asked.store(true, Ordering::SeqCst);
        let late = Arc::new(AtomicBool::new(false));
        interrupt.on_asked(hook(&late));
        assert!(called.load(Ordering::SeqCst) && late.load(Ordering::SeqCst));
    }
}
