//! Where the nodes of a graph are drawn: linked ones near each other, all others apart.
//!
//! Springs and repulsion with a cooling step, from a spiral on. Source: Fruchterman and Reingold, "Graph drawing by
//! force-directed placement", 1991. No chance in it: the same graph is always drawn the same.

use crate::topology::Graph;

/// Nodes that are drawn; with more the picture says nothing, and each round costs their square.
const NODES_MAX: usize = 1_000;
/// Links that are drawn; with more the picture is black, and a replay of a flood is longer than anybody looks.
const LINKS_MAX: usize = 8_000;
/// Rounds. Our choice: the pictures of the shapes in `topology-configs` do not change any more.
const ROUNDS: u32 = 200;

/// A place in the unit square.
pub(super) type Place = [f64; 2];

/// Does a picture of it say anything?
pub(super) fn is_drawable(graph: &Graph) -> bool {
    (1..=NODES_MAX).contains(&graph.nodes()) && graph.edges() <= LINKS_MAX
}

/// Places for all nodes, if it is drawable.
pub(super) fn places(graph: &Graph) -> Option<Vec<Place>> {
    if !is_drawable(graph) {
        return None;
    }
    let nodes = graph.nodes();
    let mut places = spiral(nodes);
    let count = f64::from(u32::try_from(nodes).expect("at most NODES_MAX"));
    let spring = (1.0 / count).sqrt();
    for round in 0..ROUNDS {
        let step = 0.1 * (1.0 - f64::from(round) / f64::from(ROUNDS));
        let pulls: Vec<Place> = (0..nodes)
            .map(|node| pull(graph, &places, node, spring))
            .collect();
        for (place, [x, y]) in places.iter_mut().zip(pulls) {
            let length = x.hypot(y).max(1e-9);
            let reach = length.min(step) / length;
            *place = [place[0] + x * reach, place[1] + y * reach];
        }
    }
    Some(fitted(places))
}

/// Where all begin: no two on one place and no three on one line.
fn spiral(nodes: usize) -> Vec<Place> {
    // The golden angle spreads points evenly over a disc.
    let turn = std::f64::consts::PI * (3.0 - 5.0_f64.sqrt());
    let one = |node: u32| {
        let at = f64::from(node);
        let (sin, cos) = (at * turn).sin_cos();
        let radius = (at + 0.5).sqrt();
        [radius * cos, radius * sin]
    };
    fitted((0_u32..).take(nodes).map(one).collect())
}

/// What moves a node: all others push, its neighbours pull, and the middle a little, so that pieces stay in sight.
fn pull(graph: &Graph, places: &[Place], node: usize, spring: f64) -> Place {
    let at = places[node];
    let mut force = [0.5 - at[0], 0.5 - at[1]].map(|part| part * spring);
    for (other, place) in places.iter().enumerate() {
        if other != node {
            let away = [at[0] - place[0], at[1] - place[1]];
            let push = spring * spring / (away[0] * away[0] + away[1] * away[1]).max(1e-9);
            force = [force[0] + away[0] * push, force[1] + away[1] * push];
        }
    }
    for half in graph.links(u32::try_from(node).expect("at most NODES_MAX")) {
        let place = places[half.to as usize];
        let way = [place[0] - at[0], place[1] - at[1]];
        let tension = way[0].hypot(way[1]) / spring;
        force = [force[0] + way[0] * tension, force[1] + way[1] * tension];
    }
    force
}

/// Stretched to fill the unit square.
fn fitted(mut places: Vec<Place>) -> Vec<Place> {
    for axis in 0..2 {
        let values = || places.iter().map(|place| place[axis]);
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        let span = high - low;
        for place in &mut places {
            place[axis] = if span > 1e-9 {
                (place[axis] - low) / span
            } else {
                0.5
            };
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Network, parse_spec};

    fn graph(spec: &str) -> Graph {
        Network::new(&parse_spec(spec, 1).unwrap()).unwrap().graph()
    }

    #[test]
    fn neighbours_are_drawn_nearer_than_strangers() {
        for spec in ["ring:12", "grid:8x8", "tree:b=3,d=3", "ba:n=64,m=2"] {
            let graph = graph(spec);
            let places = places(&graph).unwrap();
            assert_eq!(places.len(), graph.nodes());
            assert!(
                places
                    .iter()
                    .flatten()
                    .all(|part| (0.0..=1.0).contains(part))
            );
            let (mut near, mut far) = ((0.0, 0.0), (0.0, 0.0));
            for (a, place) in places.iter().enumerate() {
                for (b, other) in places.iter().enumerate().skip(a + 1) {
                    let length = (place[0] - other[0]).hypot(place[1] - other[1]);
                    let links = graph.links(u32::try_from(a).unwrap());
                    let linked = links.iter().any(|half| half.to as usize == b);
                    let sum = if linked { &mut near } else { &mut far };
                    *sum = (sum.0 + length, sum.1 + 1.0);
                }
            }
            assert!(near.0 / near.1 < 0.6 * (far.0 / far.1), "{spec}");
        }
    }

    #[test]
    fn one_node_and_too_many() {
        assert_eq!(places(&graph("line:1")), Some(vec![[0.5, 0.5]]));
        assert_eq!(places(&graph("ring:1001")), None);
        assert_eq!(places(&graph("complete:200")), None, "19,900 links");
    }
}
