//! Any descriptor, decoded: the one place that goes from a frame to its value.
//!
//! The relay does not pass through here: it decodes only what it needs.

use super::bye::Bye;
use super::frame::drop_above;
use super::hit::QueryHit;
use super::ping::{Ping, Pong};
use super::push::Push;
use super::qrp::Qrp;
use super::query::Query;
use super::vendor::Vendor;
use super::{Frame, Kind, WireError};

/// A decoded payload of each kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// `0x00`
    Ping(Ping),
    /// `0x01`
    Pong(Pong),
    /// `0x02`
    Bye(Bye),
    /// `0x30`
    Qrp(Qrp<'a>),
    /// `0x31`
    Vendor(Vendor<'a>),
    /// `0x32`
    StandardVendor(Vendor<'a>),
    /// `0x40`
    Push(Push),
    /// `0x80`
    Query(Query<'a>),
    /// `0x81`
    QueryHit(QueryHit),
    /// Any other kind byte, with its payload.
    Unknown(u8, &'a [u8]),
}

impl<'a> Message<'a> {
    /// Decodes the payload of a frame.
    ///
    /// # Errors
    /// [`WireError`]: the frame is to be dropped, and counted.
    pub fn of(frame: &'a Frame) -> Result<Self, WireError> {
        Self::parse(frame.header.kind, &frame.payload)
    }

    /// Decodes the payload of a kind.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn parse(kind: Kind, payload: &'a [u8]) -> Result<Self, WireError> {
        if payload.len() > drop_above(kind) {
            return Err(WireError::Limit(kind.name()));
        }
        Ok(match kind {
            Kind::Ping => Self::Ping(Ping::parse(payload)?),
            Kind::Pong => Self::Pong(Pong::parse(payload)?),
            Kind::Bye => Self::Bye(Bye::parse(payload)),
            Kind::Qrp => Self::Qrp(Qrp::parse(payload)?),
            Kind::Vendor => Self::Vendor(Vendor::parse(payload)?),
            Kind::StandardVendor => Self::StandardVendor(Vendor::parse(payload)?),
            Kind::Push => Self::Push(Push::parse(payload)?),
            Kind::Query => Self::Query(Query::parse(payload)?),
            Kind::QueryHit => Self::QueryHit(QueryHit::parse(payload)?),
            Kind::Unknown(byte) => Self::Unknown(byte, payload),
        })
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Ping(_) => Kind::Ping,
            Self::Pong(_) => Kind::Pong,
            Self::Bye(_) => Kind::Bye,
            Self::Qrp(_) => Kind::Qrp,
            Self::Vendor(_) => Kind::Vendor,
            Self::StandardVendor(_) => Kind::StandardVendor,
            Self::Push(_) => Kind::Push,
            Self::Query(_) => Kind::Query,
            Self::QueryHit(_) => Kind::QueryHit,
            Self::Unknown(byte, _) => Kind::Unknown(*byte),
        }
    }

    /// Encodes the payload.
    ///
    /// # Errors
    /// Those of [`Query::build`].
    pub fn build(&self) -> Result<Vec<u8>, WireError> {
        Ok(match self {
            Self::Ping(ping) => ping.build(),
            Self::Pong(pong) => pong.build(),
            Self::Bye(bye) => Bye::build(bye.code, &bye.text),
            Self::Qrp(qrp) => qrp.build(),
            Self::Vendor(vendor) | Self::StandardVendor(vendor) => vendor.build(),
            Self::Push(push) => push.build(),
            Self::Query(query) => query.build()?,
            Self::QueryHit(hit) => hit.build(),
            Self::Unknown(_, payload) => payload.to_vec(),
        })
    }
}
