//! Shapes of overlays: what they are called, what they need, and the regular ones among them.

use rand::rngs::ChaCha8Rng;

use super::{LINKS_MAX, NODES_MAX, random};
use crate::node::event::Role;

/// A shape and its size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// A closed chain.
    Ring {
        /// Nodes, at least 3.
        n: u32,
    },
    /// An open chain.
    Line {
        /// Nodes.
        n: u32,
    },
    /// Node 0 in the middle, linked to all others.
    Star {
        /// Nodes.
        n: u32,
    },
    /// Node 0 is the root; every node down to depth `d - 1` has `b` children.
    Tree {
        /// Children of a node.
        b: u32,
        /// Links from the root to a leaf.
        d: u32,
    },
    /// A rectangle of nodes, each linked to its neighbours in four directions, row by row.
    Grid {
        /// Nodes in a row.
        w: u32,
        /// Rows.
        h: u32,
    },
    /// Everybody linked to everybody.
    Complete {
        /// Nodes.
        n: u32,
    },
    /// Random, every node with the same degree, connected.
    RandomRegular {
        /// Nodes.
        n: u32,
        /// Links of each; `n * k` is even.
        k: u32,
    },
    /// Every possible link is there with chance `p` (Erdős and Rényi, G(n,p)). May be in pieces.
    ErdosRenyi {
        /// Nodes.
        n: u32,
        /// Chance of each link.
        p: f64,
    },
    /// Grown: each new node links to `m` old ones, in proportion to their degree (Barabási and Albert).
    BarabasiAlbert {
        /// Nodes.
        n: u32,
        /// Links of each new node.
        m: u32,
    },
    /// A ring of nodes linked to their `k` nearest, each link's far end moved with chance `p` (Watts and
    /// Strogatz). May be in pieces.
    WattsStrogatz {
        /// Nodes.
        n: u32,
        /// Nearest nodes linked to, an even number.
        k: u32,
        /// Chance that a link is moved.
        p: f64,
    },
    /// Two tiers: nodes 0 to `u - 1` are ultrapeers, a random regular graph; the leaves after them dial ultrapeers.
    TwoTier {
        /// Ultrapeers.
        u: u32,
        /// Links of each ultrapeer to others; `u * d` is even.
        d: u32,
        /// Leaves in all.
        leaves: u32,
        /// Ultrapeers of each leaf.
        k: u32,
    },
}

/// Which shape, without its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ring,
    Line,
    Star,
    Tree,
    Grid,
    Complete,
    RandomRegular,
    ErdosRenyi,
    BarabasiAlbert,
    WattsStrogatz,
    TwoTier,
}

/// Ultrapeers of a leaf unless said otherwise, as live leaves have (LimeWire).
const ULTRAPEERS_OF_LEAF: f64 = 3.0;

/// Kind, long name, short name, keys.
type Row = (Kind, &'static str, &'static str, &'static [&'static str]);

const KINDS: [Row; 11] = [
    (Kind::Ring, "ring", "ring", &["n"]),
    (Kind::Line, "line", "line", &["n"]),
    (Kind::Star, "star", "star", &["n"]),
    (Kind::Tree, "tree", "tree", &["b", "d"]),
    (Kind::Grid, "grid", "grid", &["w", "h"]),
    (Kind::Complete, "complete", "complete", &["n"]),
    (Kind::RandomRegular, "random-regular", "rr", &["n", "k"]),
    (Kind::ErdosRenyi, "erdos-renyi", "er", &["n", "p"]),
    (Kind::BarabasiAlbert, "barabasi-albert", "ba", &["n", "m"]),
    (
        Kind::WattsStrogatz,
        "watts-strogatz",
        "ws",
        &["n", "k", "p"],
    ),
    (
        Kind::TwoTier,
        "two-tier",
        "two-tier",
        &["u", "d", "leaves", "k"],
    ),
];

impl Kind {
    fn row(self) -> &'static Row {
        KINDS
            .iter()
            .find(|row| row.0 == self)
            .expect("every kind has a row")
    }

    /// All names, long and short.
    pub(super) fn words() -> impl Iterator<Item = (&'static str, Self)> {
        let long = KINDS.iter().map(|(kind, long, ..)| (*long, *kind));
        long.chain(
            KINDS
                .iter()
                .filter(|(_, long, short, _)| long != short)
                .map(|(kind, _, short, _)| (*short, *kind)),
        )
    }

    /// What a shape of this kind needs, in order.
    pub(super) fn keys(self) -> &'static [&'static str] {
        self.row().3
    }

    /// The keys of all kinds.
    pub(super) fn all_keys() -> impl Iterator<Item = &'static str> {
        ["n", "b", "d", "w", "h", "k", "p", "m", "u", "leaves"].into_iter()
    }

    /// Does the shape say which node is what?
    pub(super) fn has_roles(self) -> bool {
        self == Self::TwoTier
    }

    /// The value of a key that may be left out.
    pub(super) fn fallback(self, key: &str) -> Option<f64> {
        (self == Self::TwoTier && key == "k").then_some(ULTRAPEERS_OF_LEAF)
    }

    /// The shape with these values of its [`keys`](Self::keys).
    ///
    /// # Errors
    /// Why there is no such shape.
    pub(super) fn shape(self, values: &[f64]) -> Result<Shape, String> {
        let named = |key: &str| {
            let at = self
                .keys()
                .iter()
                .position(|known| *known == key)
                .expect("asked for keys of its kind only");
            values[at]
        };
        let whole = |key: &str| {
            let value = named(key);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the range is checked"
            )]
            if value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value) {
                Ok(value as u32)
            } else {
                Err(format!("{key} must be a whole number, not {value}"))
            }
        };
        let shape = match self {
            Self::Ring => Shape::Ring { n: whole("n")? },
            Self::Line => Shape::Line { n: whole("n")? },
            Self::Star => Shape::Star { n: whole("n")? },
            Self::Tree => Shape::Tree {
                b: whole("b")?,
                d: whole("d")?,
            },
            Self::Grid => Shape::Grid {
                w: whole("w")?,
                h: whole("h")?,
            },
            Self::Complete => Shape::Complete { n: whole("n")? },
            Self::RandomRegular => Shape::RandomRegular {
                n: whole("n")?,
                k: whole("k")?,
            },
            Self::ErdosRenyi => Shape::ErdosRenyi {
                n: whole("n")?,
                p: named("p"),
            },
            Self::BarabasiAlbert => Shape::BarabasiAlbert {
                n: whole("n")?,
                m: whole("m")?,
            },
            Self::WattsStrogatz => Shape::WattsStrogatz {
                n: whole("n")?,
                k: whole("k")?,
                p: named("p"),
            },
            Self::TwoTier => Shape::TwoTier {
                u: whole("u")?,
                d: whole("d")?,
                leaves: whole("leaves")?,
                k: whole("k")?,
            },
        };
        shape.check().map(|()| shape)
    }
}

impl Shape {
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Ring { .. } => Kind::Ring,
            Self::Line { .. } => Kind::Line,
            Self::Star { .. } => Kind::Star,
            Self::Tree { .. } => Kind::Tree,
            Self::Grid { .. } => Kind::Grid,
            Self::Complete { .. } => Kind::Complete,
            Self::RandomRegular { .. } => Kind::RandomRegular,
            Self::ErdosRenyi { .. } => Kind::ErdosRenyi,
            Self::BarabasiAlbert { .. } => Kind::BarabasiAlbert,
            Self::WattsStrogatz { .. } => Kind::WattsStrogatz,
            Self::TwoTier { .. } => Kind::TwoTier,
        }
    }

    /// Long name, as in the key `kind`.
    pub fn name(self) -> &'static str {
        self.kind().row().1
    }

    /// The keys of this shape and their values, in order.
    pub fn values(self) -> Vec<(&'static str, f64)> {
        let values: Vec<f64> = match self {
            Self::Ring { n } | Self::Line { n } | Self::Star { n } | Self::Complete { n } => {
                vec![n.into()]
            }
            Self::Tree { b, d } => vec![b.into(), d.into()],
            Self::Grid { w, h } => vec![w.into(), h.into()],
            Self::RandomRegular { n, k } => vec![n.into(), k.into()],
            Self::ErdosRenyi { n, p } => vec![n.into(), p],
            Self::BarabasiAlbert { n, m } => vec![n.into(), m.into()],
            Self::WattsStrogatz { n, k, p } => vec![n.into(), k.into(), p],
            Self::TwoTier { u, d, leaves, k } => {
                vec![u.into(), d.into(), leaves.into(), k.into()]
            }
        };
        self.kind().keys().iter().copied().zip(values).collect()
    }

    /// Number of nodes; `None` when there are more than 2^32.
    pub fn nodes(self) -> Option<u32> {
        match self {
            Self::Ring { n }
            | Self::Line { n }
            | Self::Star { n }
            | Self::Complete { n }
            | Self::RandomRegular { n, .. }
            | Self::ErdosRenyi { n, .. }
            | Self::BarabasiAlbert { n, .. }
            | Self::WattsStrogatz { n, .. } => Some(n),
            Self::Grid { w, h } => w.checked_mul(h),
            Self::TwoTier { u, leaves, .. } => u.checked_add(leaves),
            Self::Tree { b, d } => {
                let (mut nodes, mut layer) = (1_u32, 1_u32);
                for _ in 0..d {
                    layer = layer.checked_mul(b)?;
                    nodes = nodes.checked_add(layer)?;
                }
                Some(nodes)
            }
        }
    }

    /// Is there such a shape, and can we hold it?
    fn check(self) -> Result<(), String> {
        let sense = |holds: bool, what: &str| {
            if holds {
                Ok(())
            } else {
                Err(format!("{} needs {what}", self.name()))
            }
        };
        match self {
            Self::Ring { n } => sense(n >= 3, "n of 3 and more")?,
            Self::Line { n } | Self::Star { n } | Self::Complete { n } => {
                sense(n >= 1, "n of 1 and more")?;
            }
            Self::Tree { b, d } => sense(b >= 1 && d <= 64, "b of 1 and more and d of at most 64")?,
            Self::Grid { w, h } => sense(w >= 1 && h >= 1, "w and h of 1 and more")?,
            Self::RandomRegular { n, k } => {
                sense(k >= 1 && k < n, "k from 1 to n - 1")?;
                sense(
                    u64::from(n) * u64::from(k) % 2 == 0,
                    "an even n * k: each link has two ends",
                )?;
                sense(k >= 2 || n == 2, "k of 2 and more to be connected")?;
            }
            Self::ErdosRenyi { n, p } => sense(
                n >= 1 && (0.0..=1.0).contains(&p),
                "n of 1 and more and p from 0 to 1",
            )?,
            Self::BarabasiAlbert { n, m } => sense(m >= 1 && m < n, "m from 1 to n - 1")?,
            Self::WattsStrogatz { n, k, p } => {
                sense(k >= 2 && k % 2 == 0 && k < n, "an even k from 2 to n - 1")?;
                sense((0.0..=1.0).contains(&p), "p from 0 to 1")?;
            }
            // Below, from its parts.
            Self::TwoTier { .. } => {}
        }
        if let Self::TwoTier { u, d, leaves, k } = self {
            sense(u >= 1, "u of 1 and more")?;
            if u == 1 {
                sense(d == 0, "d of 0: one ultrapeer has no others to link to")?;
            } else {
                let top = Self::RandomRegular { n: u, k: d }.check();
                top.map_err(|why| {
                    format!("two-tier links its ultrapeers as {why}, n being u and k being d")
                })?;
            }
            sense(leaves == 0 || (1..=u).contains(&k), "k from 1 to u")?;
        }
        let nodes = self.nodes().map_or(usize::MAX, |n| n as usize);
        if nodes > NODES_MAX {
            return Err(format!(
                "more than the {NODES_MAX} nodes a topology may have"
            ));
        }
        if self.links_about() > LINKS_MAX as u64 {
            return Err(format!(
                "more than the {LINKS_MAX} links a topology may have"
            ));
        }
        Ok(())
    }

    /// Number of links, for the random ones about that.
    fn links_about(self) -> u64 {
        let pairs = |n: u32| u64::from(n) * u64::from(n.saturating_sub(1)) / 2;
        match self {
            Self::Complete { n } => pairs(n),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "about"
            )]
            Self::ErdosRenyi { n, p } => (pairs(n) as f64 * p) as u64,
            Self::RandomRegular { n, k } | Self::WattsStrogatz { n, k, .. } => {
                u64::from(n) * u64::from(k) / 2
            }
            Self::BarabasiAlbert { n, m } => u64::from(n) * u64::from(m),
            Self::TwoTier { u, d, leaves, k } => {
                u64::from(u) * u64::from(d) / 2 + u64::from(leaves) * u64::from(k)
            }
            Self::Ring { .. }
            | Self::Line { .. }
            | Self::Star { .. }
            | Self::Tree { .. }
            | Self::Grid { .. } => 2 * self.nodes().map_or(u64::MAX / 2, u64::from),
        }
    }

    /// The place in two tiers of node number `at` of this shape, if it says so.
    pub fn role(self, at: u32) -> Option<Role> {
        match self {
            Self::TwoTier { u, .. } if at < u => Some(Role::Ultrapeer),
            Self::TwoTier { .. } => Some(Role::Leaf),
            _ => None,
        }
    }

    /// Draws the links of this shape, each as two nodes from 0 to [`nodes`](Self::nodes) - 1.
    pub fn draw(self, rng: &mut ChaCha8Rng) -> Vec<(u32, u32)> {
        match self {
            Self::Ring { n } => (0..n).map(|i| (i, (i + 1) % n)).collect(),
            Self::Line { n } => (1..n).map(|i| (i - 1, i)).collect(),
            Self::Star { n } => (1..n).map(|i| (0, i)).collect(),
            Self::Tree { b, .. } => (1..self.nodes().unwrap_or(1))
                .map(|i| ((i - 1) / b, i))
                .collect(),
            Self::Grid { w, h } => grid(w, h),
            Self::Complete { n } => (0..n)
                .flat_map(|i| (i + 1..n).map(move |j| (i, j)))
                .collect(),
            Self::RandomRegular { n, k } => random::regular(n, k, rng),
            Self::ErdosRenyi { n, p } => random::erdos_renyi(n, p, rng),
            Self::BarabasiAlbert { n, m } => random::barabasi_albert(n, m, rng),
            Self::WattsStrogatz { n, k, p } => random::watts_strogatz(n, k, p, rng),
            Self::TwoTier { u, d, leaves, k } => {
                let mut links = if d == 0 {
                    Vec::new()
                } else {
                    random::regular(u, d, rng)
                };
                links.extend(random::leaves(u, leaves, k, rng));
                links
            }
        }
    }
}

/// As in reports: `barabasi-albert n=64 m=2`.
impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())?;
        self.values()
            .iter()
            .try_for_each(|(key, value)| write!(f, " {key}={value}"))
    }
}

fn grid(w: u32, h: u32) -> Vec<(u32, u32)> {
    let mut links = Vec::new();
    for y in 0..h {
        for x in 0..w {
            let node = y * w + x;
            if x + 1 < w {
                links.push((node, node + 1));
            }
            if y + 1 < h {
                links.push((node, node + w));
            }
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::dice;

    #[test]
    fn regular_shapes_have_the_links_that_geometry_says() {
        let links = |shape: Shape| shape.draw(&mut dice::seeded(1, 1)).len();
        assert_eq!(links(Shape::Ring { n: 12 }), 12);
        assert_eq!(links(Shape::Line { n: 3 }), 2);
        assert_eq!(links(Shape::Star { n: 10 }), 9);
        assert_eq!(links(Shape::Tree { b: 2, d: 4 }), 30);
        assert_eq!(links(Shape::Grid { w: 8, h: 8 }), 112);
        assert_eq!(links(Shape::Grid { w: 100, h: 100 }), 19_800);
        assert_eq!(links(Shape::Complete { n: 8 }), 28);
    }

    #[test]
    fn a_shape_that_cannot_be_is_refused_with_the_reason() {
        let refused = |kind: Kind, values: &[f64]| kind.shape(values).unwrap_err();
        assert!(refused(Kind::Ring, &[2.0]).contains("3 and more"));
        assert!(refused(Kind::Ring, &[2.5]).contains("whole number"));
        assert!(refused(Kind::RandomRegular, &[5.0, 3.0]).contains("even"));
        assert!(refused(Kind::Tree, &[10.0, 20.0]).contains("nodes a topology may have"));
        assert!(refused(Kind::Complete, &[100_000.0]).contains("links a topology may have"));
        assert!(refused(Kind::ErdosRenyi, &[10.0, 1.5]).contains("p from 0 to 1"));
    }
}
