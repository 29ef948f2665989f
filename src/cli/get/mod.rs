//! x
pub mod target;
