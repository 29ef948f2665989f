//! The hosts that are remembered from run to run.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Home;
use crate::disk::save::{load, save};
use crate::node::address::Net;
use crate::node::hosts::Remembered;
use crate::node::limits::HOSTS_MAX;

/// Bytes of the hosts file that are read at all: [`HOSTS_MAX`] addresses of the longest kind take half.
const HOSTS_BYTES_MAX: u64 = 256 * 1024;

impl Home {
    /// What is remembered of the last run on this net, at most [`HOSTS_MAX`] addresses. A file that is damaged counts as
    /// none; nothing is lost that the network does not tell again.
    pub fn load_hosts(&self, net: Net) -> Remembered {
        let path = self.hosts(net);
        let read = load(&path, HOSTS_BYTES_MAX).and_then(|bytes| match bytes {
            Some(bytes) => Ok(Some(serde_json::from_slice::<Book>(&bytes)?)),
            None => Ok(None),
        });
        match read {
            Ok(hosts) => hosts.map(Book::remembered).unwrap_or_default(),
            Err(error) => {
                log::warn!(
                    "{}: {error}; starting without remembered hosts",
                    path.display()
                );
                Remembered::default()
            }
        }
    }

    /// Remembers addresses; those above [`HOSTS_MAX`] are left out, the worst first.
    ///
    /// # Errors
    /// What the system says, with the path.
    pub fn save_hosts(&self, net: Net, hosts: &Remembered) -> io::Result<()> {
        save(
            &self.hosts(net),
            &serde_json::to_vec(&Book::new(hosts.clone()))?,
        )
    }

    /// One file for each net: nobody shall call strangers, or be told to them, who once was on both.
    fn hosts(&self, net: Net) -> PathBuf {
        self.data.join(match net {
            Net::Lan => "hosts.json",
            Net::Gnutella => "hosts-gnutella.json",
            Net::Rehearsal => "hosts-rehearsal.json",
        })
    }
}

/// The hosts file.
#[derive(Debug, Serialize, Deserialize)]
struct Book {
    v: u32,
    #[serde(default)]
    anchors: Vec<SocketAddr>,
    #[serde(default)]
    tried: Vec<SocketAddr>,
    hosts: Vec<SocketAddr>,
}

impl Book {
    fn new(hosts: Remembered) -> Self {
        let Remembered {
            anchors,
            tried,
            heard_of,
        } = hosts;
        let mut kept = Self {
            v: 1,
            anchors,
            tried,
            hosts: heard_of,
        };
        let mut left = HOSTS_MAX.get();
        for list in [&mut kept.anchors, &mut kept.tried, &mut kept.hosts] {
            list.truncate(left);
            left -= list.len();
        }
        kept
    }

    fn remembered(self) -> Remembered {
        let Self {
            anchors,
            tried,
            hosts: heard_of,
            ..
        } = Self::new(Remembered {
            anchors: self.anchors,
            tried: self.tried,
            heard_of: self.hosts,
        });
        Remembered {
            anchors,
            tried,
            heard_of,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn hosts_are_remembered_within_bounds_and_damage_counts_as_none() {
        let (_dir, home) = crate::disk::store::tests::home();
        assert!(home.load_hosts(Net::Lan).is_empty());
        let many = |c: u8| -> Vec<SocketAddr> {
            (1..=1_500u16)
                .map(|port| SocketAddr::from(([10, 0, c, 1], port)))
                .collect()
        };
        let hosts = Remembered {
            anchors: many(1)[..2].to_vec(),
            tried: many(2),
            heard_of: many(3),
        };
        home.save_hosts(Net::Lan, &hosts).unwrap();
        let back = home.load_hosts(Net::Lan);
        let most: Vec<_> = hosts.all().take(HOSTS_MAX.get()).collect();
        assert_eq!(back.all().collect::<Vec<_>>(), most);
        assert_eq!((back.anchors, back.tried), (hosts.anchors, hosts.tried));
        assert!(
            home.load_hosts(Net::Gnutella).is_empty(),
            "nets know nothing of each other"
        );
        let older = b"{\"v\":1,\"hosts\":[\"10.0.0.1:1\"]}";
        fs::write(home.hosts(Net::Lan), older).unwrap();
        assert_eq!(home.load_hosts(Net::Lan).heard_of.len(), 1);
        fs::write(home.hosts(Net::Lan), b"{\"v\":1,\"hosts\":[").unwrap();
        assert!(home.load_hosts(Net::Lan).is_empty());
    }
}
