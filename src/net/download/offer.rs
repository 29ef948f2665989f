//! Sources as plain data, for those who hand a download to another process or keep it for later.

use std::net::SocketAddr;

use super::source_of_hit;
use super::{BadUrl, Seal, Source};
use crate::control::{self as plain, Offer};
use crate::net::pusher::Walled;
use crate::node::address::Net;
use crate::wire::urn::{TigerRoot, tiger_from_base32, tiger_to_base32};
use crate::wire::{ServentId, Sha1};

/// A root as text; one that cannot be read is none.
pub(in crate::net) fn root_of(text: Option<&str>) -> Option<TigerRoot> {
    tiger_from_base32(text?).ok()
}

impl Source {
    /// As plain data.
    pub fn offer(&self) -> Offer {
        let walled = self.walled();
        Offer {
            url: self.url(),
            servent: walled.map(|walled| walled.servent.to_string()),
            push: self.wants_push(),
            push_proxies: walled.map_or_else(Vec::new, |walled| walled.proxies.clone()),
            net: walled.and_then(|walled| walled.net).map(Into::into),
            tls: match self.seal() {
                Seal::Never => plain::Seal::Never,
                Seal::Asked => plain::Seal::Asked,
                Seal::FromTheStart => plain::Seal::Always,
            },
            tiger: self.root().map(|root| tiger_to_base32(&root)),
        }
    }

    /// From plain data.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub fn of_offer(offer: &Offer) -> Result<Self, BadUrl> {
        let source = Self::from_url(&offer.url)?.sealed(match offer.tls {
            plain::Seal::Never => Seal::Never,
            plain::Seal::Asked => Seal::Asked,
            plain::Seal::Always => Seal::FromTheStart,
        });
        let source = source.with_root(root_of(offer.tiger.as_deref()));
        let servent = offer.servent.as_deref().and_then(ServentId::from_hex);
        Ok(match servent {
            None => source,
            Some(servent) => {
                let walled = Walled {
                    servent,
                    index: 0,
                    proxies: offer.push_proxies.clone(),
                    net: offer.net.map(Into::into),
                };
                source.or_push(walled, offer.push)
            }
        })
    }

    /// Whoever answered, as a source of one of its files. `None`: the file has a hash that cannot be read.
    pub(super) fn of_record(hit: &plain::Hit, record: &plain::Record) -> Option<Self> {
        let urn = record.urn.as_ref().map(|urn| urn.parse());
        let net = hit.net.map(Net::from);
        let source = source_of_hit(hit.addr, urn.transpose().ok()?, record.index, &record.name)
            .sealed(Seal::told(hit.tls, net))
            .with_root(root_of(record.tiger.as_deref()));
        let Some(servent) = ServentId::from_hex(&hit.servent) else {
            return Some(source);
        };
        let walled = Walled {
            servent,
            index: record.index,
            proxies: hit.push_proxies.clone(),
            net,
        };
        Some(source.or_push(walled, hit.push))
    }

    /// All whom a hit names as having this content: the responder, and whom it names beside itself.
    pub(in crate::net) fn all_of_hit(hit: &plain::Hit, urn: Sha1) -> Vec<Self> {
        let hash = |record: &plain::Record| record.urn.as_ref()?.parse().ok();
        let mut records = hit.records.iter();
        let Some(record) = records.find(|record| hash(record) == Some(urn)) else {
            return Vec::new();
        };
        let net = hit.net.map(Net::from);
        let named = |addr: &SocketAddr| {
            let tls = record.alternates_tls.contains(addr);
            Self::by_urn(*addr, urn).sealed(Seal::told(tls, net))
        };
        let responder = Self::of_record(hit, record).into_iter();
        responder
            .chain(record.alternates.iter().map(named))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_hit_names_is_fetched_from_as_it_says() {
        let urn = "urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB";
        let addr = |text: &str| text.parse().expect("an address");
        let [clear, tls] = [addr("8.8.8.8:6346"), addr("9.9.9.9:6346")];
        let mut hit = plain::Hit {
            net: Some(plain::Net::Gnutella),
            hops: 0,
            addr: addr("8.8.4.4:6346"),
            nick: None,
            vendor: "TEST".into(),
            servent: "07".repeat(16),
            push: false,
            push_proxies: Vec::new(),
            free_slot: None,
            browse: false,
            tls: false,
            records: vec![plain::Record {
                urn: Some(urn.into()),
                alternates: vec![clear, tls],
                alternates_tls: vec![tls],
                ..plain::Record::default()
            }],
        };
        let seals = |hit: &plain::Hit| -> Vec<Seal> {
            let all = Source::all_of_hit(hit, urn.parse().expect("a hash"));
            all.iter().map(Source::seal).collect()
        };
        assert_eq!(seals(&hit), [Seal::Asked, Seal::Asked, Seal::FromTheStart]);
        hit.net = Some(plain::Net::Lan);
        assert_eq!(seals(&hit), [Seal::Never, Seal::Never, Seal::FromTheStart]);
    }

    #[test]
    fn what_is_kept_of_a_source_leads_to_the_same_one() {
        let urn = "urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB"
            .parse()
            .expect("a hash");
        let addr = "192.0.2.7:99".parse().expect("an address");
        let plain = Source::by_urn(addr, urn).sealed(Seal::Asked);
        let walled = Walled {
            servent: ServentId([7; 16]),
            index: 0,
            proxies: vec!["192.0.2.8:1".parse().expect("an address")],
            net: Some(Net::Gnutella),
        };
        let pushed = Source::by_index(addr, 3, "a b.txt").or_push(walled, true);
        let rooted = plain.clone().with_root(Some([7; 24]));
        assert_eq!(
            Source::of_offer(&rooted.offer()).map(|back| back.root()),
            Ok(Some([7; 24]))
        );
        for source in [plain, pushed] {
            assert_eq!(Source::of_offer(&source.offer()), Ok(source));
        }
    }
}
