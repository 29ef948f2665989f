//! Random shapes. Links come out sorted, so that the same graph is always written the same way.

use std::collections::BTreeSet;

use rand::rngs::ChaCha8Rng;

use super::graph::Graph;
use super::{Edge, dice};

type Link = (u32, u32);

fn ordered(a: u32, b: u32) -> Link {
    (a.min(b), a.max(b))
}

/// Draws a connected graph in which every node has `k` links, near uniformly: all link ends are paired at
/// random, then links that a simple graph cannot have are exchanged with links drawn at random.
pub(super) fn regular(n: u32, k: u32, rng: &mut ChaCha8Rng) -> Vec<Link> {
    if u64::from(k) * 2 > u64::from(n) {
        return dense_regular(n, k, rng);
    }
    let mut set = loop {
        let mut ends: Vec<u32> = (0..n)
            .flat_map(|node| std::iter::repeat_n(node, k as usize))
            .collect();
        dice::shuffle(rng, &mut ends);
        let mut links: Vec<Link> = ends
            .chunks_exact(2)
            .map(|pair| ordered(pair[0], pair[1]))
            .collect();
        links.sort_unstable();
        let mut set = LinkSet::new(links);
        if set.make_simple(rng) {
            break set;
        }
    };
    set.connect(n, rng);
    set.links.sort_unstable();
    set.links
}

/// Gives each of so many leaves `k` of `u` ultrapeers, all ultrapeers about as many: they are dealt from a shuffled
/// deck. Leaves are numbered after the ultrapeers, and come first in their links, for they dial.
pub(super) fn leaves(u: u32, leaves: u32, k: u32, rng: &mut ChaCha8Rng) -> Vec<Link> {
    let (mut links, mut deck) = (Vec::new(), Vec::new());
    for leaf in u..u + leaves {
        let mut own: Vec<u32> = Vec::new();
        while own.len() < k as usize {
            // The last of the deck that it does not have; of a deck that has none, a new one.
            if let Some(at) = deck.iter().rposition(|ultrapeer| !own.contains(ultrapeer)) {
                own.push(deck.remove(at));
            } else {
                deck = (0..u).collect();
                dice::shuffle(rng, &mut deck);
            }
        }
        links.extend(own.into_iter().map(|ultrapeer| (leaf, ultrapeer)));
    }
    links
}

/// With `k` above half of `n` random exchanges hardly ever fit: take a ring lattice and exchange its links at
/// random many times over.
fn dense_regular(n: u32, k: u32, rng: &mut ChaCha8Rng) -> Vec<Link> {
    let mut links = lattice(n, k - k % 2);
    if k % 2 == 1 {
        links.extend((0..n / 2).map(|i| (i, i + n / 2)));
    }
    links.sort_unstable();
    let mut set = LinkSet::new(links);
    for _ in 0..set.links.len() * 20 {
        let (x, y) = (
            dice::pick(rng, set.links.len()),
            dice::pick(rng, set.links.len()),
        );
        set.exchange(x, y, rng);
    }
    set.connect(n, rng);
    set.links.sort_unstable();
    set.links
}

/// Draws for one link before the whole graph is drawn anew.
const TRIES_MAX: usize = 10_000;

/// A list of links that knows which links it holds: the sorted list it started with, and what changed since.
struct LinkSet {
    links: Vec<Link>,
    start: Vec<Link>,
    gone: BTreeSet<Link>,
    new: BTreeSet<Link>,
}

impl LinkSet {
    /// `links` is sorted.
    fn new(links: Vec<Link>) -> Self {
        Self {
            start: links.clone(),
            links,
            gone: BTreeSet::new(),
            new: BTreeSet::new(),
        }
    }

    fn holds(&self, link: Link) -> bool {
        self.new.contains(&link)
            || (!self.gone.contains(&link) && self.start.binary_search(&link).is_ok())
    }

    fn forget(&mut self, link: Link) {
        if !self.new.remove(&link) {
            self.gone.insert(link);
        }
    }

    fn learn(&mut self, link: Link) {
        if !self.gone.remove(&link) {
            self.new.insert(link);
        }
    }

    /// Puts a-c and b-d in place of the links a-b and c-d, if that leaves a simple graph. Degrees stay.
    fn exchange(&mut self, x: usize, y: usize, rng: &mut ChaCha8Rng) -> bool {
        let (old_x, old_y) = (self.links[x], self.links[y]);
        let turned = if dice::below(rng, 2) == 1 {
            (old_y.1, old_y.0)
        } else {
            old_y
        };
        let (one, two) = (ordered(old_x.0, turned.0), ordered(old_x.1, turned.1));
        let loops = one.0 == one.1 || two.0 == two.1;
        if x == y || loops || one == two || self.holds(one) || self.holds(two) {
            return false;
        }
        self.forget(old_x);
        self.forget(old_y);
        self.learn(one);
        self.learn(two);
        (self.links[x], self.links[y]) = (one, two);
        true
    }

    /// Exchanges links to oneself and second links between two nodes until there are none; false when the
    /// dice fall so badly that it is better to start again.
    fn make_simple(&mut self, rng: &mut ChaCha8Rng) -> bool {
        let bad = |links: &[Link], i: usize| {
            links[i].0 == links[i].1 || (i > 0 && links[i] == links[i - 1])
        };
        let stray: Vec<usize> = (0..self.links.len())
            .filter(|&i| bad(&self.links, i))
            .collect();
        let keep: BTreeSet<usize> = stray.iter().copied().collect();
        for &x in &stray {
            // Nearly every draw fits: `k` is at most half of `n`. Other stray links wait for their own turn.
            let fits = (0..TRIES_MAX).any(|_| {
                let y = dice::pick(rng, self.links.len());
                (y < x || !keep.contains(&y)) && self.exchange(x, y, rng)
            });
            if !fits {
                return false;
            }
            // The other copy of a link that was there twice is still there.
            self.gone.remove(&self.start[x]);
        }
        true
    }

    /// Joins all pieces into one by exchanging links between them.
    fn connect(&mut self, n: u32, rng: &mut ChaCha8Rng) {
        loop {
            let edges: Vec<Edge> = self
                .links
                .iter()
                .map(|&(a, b)| Edge { a, b, traits: 0 })
                .collect();
            let (piece, pieces) = Graph::new(n as usize, &edges).components();
            if pieces == 1 {
                return;
            }
            // Exchanging a link on a cycle with one of another piece joins the two; a bad pick is seen in
            // the next round.
            let mut joined = BTreeSet::new();
            for x in 0..self.links.len() {
                let of = piece[self.links[x].0 as usize];
                if of != 0 && joined.insert(of) {
                    for _ in 0..100 {
                        let y = dice::pick(rng, self.links.len());
                        if piece[self.links[y].0 as usize] != of && self.exchange(x, y, rng) {
                            break;
                        }
                    }
                }
            }
        }
    }
}

/// Each possible link with chance `p`. The gaps between links are drawn, so the cost is that of the links.
pub(super) fn erdos_renyi(n: u32, p: f64, rng: &mut ChaCha8Rng) -> Vec<Link> {
    if p <= 0.0 {
        return Vec::new();
    }
    let mut links = Vec::new();
    let n = u64::from(n);
    let narrow = |node: u64| u32::try_from(node).expect("below n");
    let (mut high, mut low) = (1_u64, -1_i64);
    let log = (1.0 - p).ln();
    while high < n {
        let gap = if p >= 1.0 {
            0.0
        } else {
            ((1.0 - dice::unit(rng)).ln() / log).floor()
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "capped below the number of pairs"
        )]
        let gap = gap.min(1e15) as i64;
        low += 1 + gap;
        let mut at = u64::try_from(low).expect("gaps are not negative");
        while high < n && at >= high {
            at -= high;
            high += 1;
        }
        low = i64::try_from(at).expect("below 2^63");
        if high < n {
            links.push((narrow(at), narrow(high)));
        }
    }
    links.sort_unstable();
    links
}

/// Starts with `m` nodes without links; each further node links to `m` different ones, drawn from the ends of
/// all links so far (the first one to all of the first `m`).
pub(super) fn barabasi_albert(n: u32, m: u32, rng: &mut ChaCha8Rng) -> Vec<Link> {
    let mut links = Vec::with_capacity((n - m) as usize * m as usize);
    let mut ends: Vec<u32> = Vec::with_capacity(links.capacity() * 2);
    let mut chosen: Vec<u32> = (0..m).collect();
    for node in m..n {
        if node > m {
            chosen.clear();
            while chosen.len() < m as usize {
                let old = ends[dice::pick(rng, ends.len())];
                if !chosen.contains(&old) {
                    chosen.push(old);
                }
            }
        }
        for &old in &chosen {
            links.push((old, node));
            ends.extend([old, node]);
        }
    }
    links.sort_unstable();
    links
}

/// Each node linked to its `k` nearest on a ring.
fn lattice(n: u32, k: u32) -> Vec<Link> {
    (1..=k / 2)
        .flat_map(|reach| (0..n).map(move |i| ordered(i, (i + reach) % n)))
        .collect()
}

/// A ring lattice in which the far end of each link is moved with chance `p` to a node drawn at random.
pub(super) fn watts_strogatz(n: u32, k: u32, p: f64, rng: &mut ChaCha8Rng) -> Vec<Link> {
    let mut near: Vec<Vec<u32>> = vec![Vec::new(); n as usize];
    for (a, b) in lattice(n, k) {
        near[a as usize].push(b);
        near[b as usize].push(a);
    }
    for reach in 1..=k / 2 {
        for a in 0..n {
            let full = near[a as usize].len() + 1 >= n as usize;
            if full || !dice::chance(rng, p) {
                continue;
            }
            let old = (a + reach) % n;
            let new = loop {
                let node = dice::node(rng, n);
                if node != a && !near[a as usize].contains(&node) {
                    break node;
                }
            };
            near[a as usize].retain(|node| *node != old);
            near[old as usize].retain(|node| *node != a);
            near[a as usize].push(new);
            near[new as usize].push(a);
        }
    }
    let mut links = Vec::with_capacity(n as usize * k as usize / 2);
    for (a, near) in (0..n).zip(&near) {
        links.extend(near.iter().filter(|b| a < **b).map(|b| (a, *b)));
    }
    links.sort_unstable();
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simple(links: &[Link]) -> bool {
        links.windows(2).all(|pair| pair[0] < pair[1]) && links.iter().all(|(a, b)| a < b)
    }

    fn degrees(n: u32, links: &[Link]) -> Vec<u32> {
        let mut degrees = vec![0; n as usize];
        for (a, b) in links {
            degrees[*a as usize] += 1;
            degrees[*b as usize] += 1;
        }
        degrees
    }

    fn pieces(n: u32, links: &[Link]) -> u32 {
        let edges: Vec<Edge> = links
            .iter()
            .map(|&(a, b)| Edge { a, b, traits: 0 })
            .collect();
        Graph::new(n as usize, &edges).components().1
    }

    #[test]
    fn random_regular_graphs_are_simple_regular_and_connected() {
        for (n, k) in [
            (2, 1),
            (3, 2),
            (4, 3),
            (5, 2),
            (8, 7),
            (10, 3),
            (10, 6),
            (64, 4),
            (50, 2),
            (200, 3),
            (501, 8),
        ] {
            for seed in 0..20 {
                let links = regular(n, k, &mut dice::seeded(seed, 1));
                assert!(simple(&links), "n={n} k={k} seed={seed}");
                assert!(
                    degrees(n, &links).iter().all(|degree| *degree == k),
                    "n={n} k={k} seed={seed}"
                );
                assert_eq!(pieces(n, &links), 1, "n={n} k={k} seed={seed}");
            }
        }
    }

    #[test]
    fn erdos_renyi_has_as_many_links_as_chance_says() {
        let links = erdos_renyi(1000, 0.01, &mut dice::seeded(3, 1));
        assert!(simple(&links));
        // 499,500 pairs at 0.01: 4,995 expected, standard deviation 70.
        assert!((4_700..5_300).contains(&links.len()), "{}", links.len());
        assert_eq!(erdos_renyi(20, 1.0, &mut dice::seeded(3, 1)).len(), 190);
        assert_eq!(erdos_renyi(20, 0.0, &mut dice::seeded(3, 1)).len(), 0);
    }

    #[test]
    fn barabasi_albert_is_connected_and_grows_hubs() {
        let links = barabasi_albert(2000, 2, &mut dice::seeded(5, 1));
        assert!(simple(&links));
        assert_eq!(links.len(), 1998 * 2);
        assert_eq!(pieces(2000, &links), 1);
        assert!(degrees(2000, &links).iter().max() > Some(&40));
        assert_eq!(barabasi_albert(64, 2, &mut dice::seeded(7, 1)).len(), 124);
    }

    #[test]
    fn watts_strogatz_moves_links_but_keeps_their_number() {
        let links = watts_strogatz(1000, 6, 0.1, &mut dice::seeded(5, 1));
        assert!(simple(&links));
        assert_eq!(links.len(), 3000);
        let kept = lattice(1000, 6)
            .iter()
            .filter(|link| links.binary_search(link).is_ok())
            .count();
        assert!((2600..2800).contains(&kept), "{kept}");
        assert_eq!(
            watts_strogatz(10, 4, 0.0, &mut dice::seeded(5, 1)).len(),
            20
        );
        assert_eq!(watts_strogatz(4, 2, 1.0, &mut dice::seeded(5, 1)).len(), 4);
    }
}
