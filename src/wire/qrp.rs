//! qrp
