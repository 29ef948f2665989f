//! How far finding nodes has got: written by the tasks that find, read by whoever asks for the status.

use std::sync::{Arc, Mutex, PoisonError};

use crate::control::Finding;

/// What is shown; all copies are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown(Arc<Mutex<Finding>>);

impl Shown {
    /// As it is now.
    pub(crate) fn get(&self) -> Finding {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes it. Never waits: nobody holds it longer than this.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Finding)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
