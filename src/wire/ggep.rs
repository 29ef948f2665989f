//! ggep
