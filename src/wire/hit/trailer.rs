//! What follows the records of a hit: vendor, flags, and a private area with a GGEP block somewhere in it.

use std::net::SocketAddr;

use super::super::WireError;
use super::super::addr::{Ipv4OrSix, vector4, vector6, vectors};
use super::super::ggep::{Block, Extension, Extensions, MAGIC, Zeros};
use super::super::text::clean_bytes;
use super::super::vendor::{SECURE, Token};
use super::{NICK_BYTES_MAX, PUSH_PROXIES_MAX, QueryHit};

/// The trailer as far as it concerns us.
pub(super) struct Trailer<'a> {
    pub(super) vendor: [u8; 4],
    pub(super) push: Option<bool>,
    pub(super) busy: Option<bool>,
    /// From the first byte that may start a GGEP block.
    block: &'a [u8],
}

impl<'a> Trailer<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, WireError> {
        // Bytes that are no trailer are records that the count left out.
        let bad = WireError::Malformed("query hit trailer");
        if bytes.is_empty() {
            return Ok(Self {
                vendor: [0; 4],
                push: None,
                busy: None,
                block: &[],
            });
        }
        let (vendor, rest) = bytes.split_first_chunk::<4>().ok_or(bad)?;
        if *vendor != [0; 4] && !vendor.iter().all(u8::is_ascii_graphic) {
            return Err(bad);
        }
        let (&open_len, rest) = rest.split_first().ok_or(bad)?;
        let (open, private) = rest.split_at_checked(open_len.into()).ok_or(bad)?;
        let (mut push, mut busy, mut no_block) = (None, None, false);
        if let [first, second, ..] = open {
            push = (second & PUSH != 0).then_some(first & PUSH != 0);
            busy = (first & BUSY != 0).then_some(second & BUSY != 0);
            no_block = first & GGEP != 0 && second & GGEP == 0;
        }
        let private = match open {
            // LimeWire ends the area with XML, which may hold any byte; a size that lies is none.
            [_, _, low, high, ..] => {
                let xml = usize::from(u16::from_le_bytes([*low, *high]));
                &private[..private.len().checked_sub(xml).unwrap_or(private.len())]
            }
            _ => private,
        };
        // LimeWire puts a byte of its own before the block, others more.
        let start = private.iter().position(|&byte| byte == MAGIC);
        let block = start
            .filter(|_| !no_block)
            .map_or(&[][..], |at| &private[at..]);
        Ok(Self {
            vendor: *vendor,
            push,
            busy,
            block,
        })
    }

    /// Takes the extensions into a hit. Some vendors keep secrets in this area: no block, no harm.
    pub(super) fn tell(&self, mut addr: Ipv4OrSix, hit: &mut QueryHit) {
        let (mut proxies4, mut proxies6) = (None, None);
        for extension in Extensions::new(self.block) {
            match extension.id {
                b"6" => addr.six(&extension),
                b"PUSH" => proxies4 = proxies4.or_else(|| vector4(&extension)),
                b"PUSH6" => proxies6 = proxies6.or_else(|| vector6(&extension)),
                b"BH" => hit.browse = true,
                b"TLS" => hit.tls = true,
                SECURE => hit.token = hit.token.or_else(|| Token::of(&extension)),
                b"NICK" if hit.nick.is_none() => hit.nick = nick(&extension),
                _ => {}
            }
        }
        hit.addr = addr.get();
        hit.push_proxies = proxies4.into_iter().chain(proxies6).flatten().collect();
        // An IPv4 address may come in the clothes of an IPv6 one.
        hit.push_proxies.sort_by_key(SocketAddr::is_ipv6);
        hit.push_proxies.truncate(PUSH_PROXIES_MAX);
    }
}

/// Writes the trailer; nothing at all when there is nothing to say. `six`: what stands for the IPv4 field.
pub(super) fn write(hit: &QueryHit, six: Option<[u8; 16]>, out: &mut Vec<u8>) {
    let mut block = Block::new(Zeros::Allowed);
    for (said, id) in [(hit.browse, &b"BH"[..]), (hit.tls, b"TLS")] {
        if said {
            block.put(id, &[]);
        }
    }
    let nick = hit
        .nick
        .as_deref()
        .map(|nick| clean_bytes(nick.as_bytes(), NICK_BYTES_MAX));
    if let Some(nick) = nick.filter(|nick| !nick.is_empty()) {
        block.put(b"NICK", nick.as_bytes());
    }
    if let Some(six) = six {
        block.put(b"6", &six);
    }
    if let Some(token) = &hit.token {
        block.put(SECURE, token.as_bytes());
    }
    let proxies = &hit.push_proxies[..hit.push_proxies.len().min(PUSH_PROXIES_MAX)];
    let (proxies4, proxies6) = vectors(proxies);
    for (id, vector) in [(&b"PUSH"[..], proxies4), (b"PUSH6", proxies6)] {
        if !vector.is_empty() {
            block.put(id, &vector);
        }
    }
    let ggep = (!block.is_empty()).then_some(true);
    if hit.vendor == [0; 4] && hit.push.is_none() && hit.busy.is_none() && ggep.is_none() {
        return;
    }
    let mut valid = 0;
    let mut set = 0;
    for (mask, flag) in [(PUSH, hit.push), (BUSY, hit.busy), (GGEP, ggep)] {
        valid |= if flag.is_some() { mask } else { 0 };
        set |= if flag == Some(true) { mask } else { 0 };
    }
    // Bit 0 says it the other way round: "valid" stands in the second byte, "true" in the first.
    let first = valid & !PUSH | set & PUSH;
    let second = set & !PUSH | valid & PUSH;
    out.extend_from_slice(&hit.vendor);
    out.extend_from_slice(&[2, first, second]);
    out.extend(block.finish());
}

const PUSH: u8 = 0x01;
const BUSY: u8 = 0x04;
const GGEP: u8 = 0x20;

fn nick(extension: &Extension<'_>) -> Option<String> {
    let value = extension.value_within(8 * NICK_BYTES_MAX).ok()?;
    Some(clean_bytes(&value, NICK_BYTES_MAX)).filter(|nick| !nick.is_empty())
}
