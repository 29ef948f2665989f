//! disk

pub mod folder;
pub mod names;
pub mod parts;
pub mod results;
