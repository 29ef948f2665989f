//! The topology format: what is read, what is refused and how it is said, and that it round-trips.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use filbert::node::event::Role;
use filbert::topology::{Links, Network, Shape, Topology, parse, parse_spec};

/// Every part of the format at once.
const EVERYTHING: &str = r#"{
  "filbert": "topology/1",
  "name": "two-islands",
  "seed": 7,
  "defaults": { "ttl": 4, "max_peers": 40, "seen_cache": 4096, "capacity": "100/s", "delay": "5ms", "rate": "10MB/s" },
  "generate": [
    { "kind": "ring", "n": 6, "prefix": "a" },
    { "kind": "barabasi-albert", "n": 32, "m": 2, "prefix": "b" }
  ],
  "import": [ { "file": "crawls/a.links", "prefix": "c", "largest": true } ],
  "nodes": [
    { "id": "a0", "files": [ { "name": "moby-dick.txt", "size": "1.2MB", "fill": "seeded" } ] },
    { "id": "b3", "share": ["corpus/"], "slots": 2 },
    { "id": "b9", "behaviour": "free-rider", "capacity": "7/s" }
  ],
  "links": [
    ["a0", "b0"],
    { "from": "a3", "to": "b5", "delay": "40ms", "jitter": "5ms", "drop": 0.01, "rate": "2MB/s" }
  ],
  "content": { "files": 200, "popularity": { "zipf": 0.8 }, "copies": { "proportional": 0.02 } },
  "workload": { "queries": 200, "arrival": { "poisson": "20/s" }, "from": "any", "strategy": "flood" },
  "behaviours": { "free-rider": 0.7, "silent": 0.02, "slow": 0.01, "junk": 0.05 },
  "capacities": [ { "share": 3, "capacity": "10/s" }, { "share": 0.5, "capacity": "1000/s" } ],
  "searches": [
    { "from": "each", "query": "moby dick", "ttl": 7, "hits": ">=1" },
    { "from": "b1", "query": "white whale", "hits": 0 }
  ],
  "events": [
    { "at": "2s", "do": "expect", "from": "b7", "query": "moby dick", "hits": ">=1", "within": "500ms" },
    { "at": "3s", "do": "kill", "node": "a0" },
    { "at": "4s", "do": "partition", "groups": [["a*"], ["b*"]] },
    { "at": "5s", "do": "cut", "from": "a0", "to": "b0" },
    { "at": "6s", "do": "change", "from": "a3", "to": "b5", "delay": "1s" },
    { "at": "7s", "do": "heal" },
    { "at": "8s", "do": "restart", "node": "a0" },
    { "at": "9s", "do": "search", "from": "each", "query": "moby dick", "ttl": 3 },
    { "at": "9s", "do": "leave", "nodes": ["a0..a2", "b*"] },
    { "at": "10s", "do": "kill", "share": 0.3 },
    { "at": "10s", "do": "join", "node": "b31" },
    { "at": "11s", "do": "partition", "from": ["a*"], "to": ["b0..b9", "b11"] },
    { "at": "12s", "do": "cut", "from": "a*", "to": ["b0", "b5"] },
    { "at": "12s", "do": "cut", "to": "b20" },
    { "at": "13s", "do": "change", "drop": 0.05, "jitter": "1ms", "rate": "none" },
    { "at": "14s", "do": "churn", "nodes": ["b*"], "up": "30s", "down": "10s", "crash": 0.5 },
    { "at": "15s", "do": "churn", "before": "48h" },
    { "at": "16s", "do": "churn", "classes": [ { "share": 1, "shape": 0.5, "up": "1h", "down": "2h", "spread": 0.3, "sigma": 1.5 } ] },
    { "at": "17s", "do": "calm" }
  ]
}"#;

fn with(key_and_value: &str) -> String {
    format!(r#"{{ "filbert": "topology/1", {key_and_value} }}"#)
}

/// The error of a file, from reading or from drawing it.
fn error(key_and_value: &str) -> String {
    let read = parse(&with(key_and_value)).and_then(|topology| Network::new(&topology));
    read.expect_err(key_and_value).to_string()
}

#[test]
fn every_part_of_the_format_is_read_and_written() {
    let mut topology = parse(EVERYTHING).unwrap();
    let unread = Network::new(&topology).unwrap_err().to_string();
    assert!(
        unread.starts_with("import[0]: \"crawls/a.links\""),
        "{unread}"
    );
    topology.import[0].links = Some(std::sync::Arc::new(Links {
        nodes: 3,
        pairs: vec![(0, 1), (1, 2)],
    }));
    let network = Network::new(&topology).unwrap();
    assert_eq!(
        (network.names.len(), network.edges.len()),
        (41, 6 + 60 + 2 + 2)
    );
    assert_eq!(network.names.name(40), "c2");
    topology.import[0].links = None;
    assert_eq!(topology.nodes[0].files[0].size, 1_200_000);
    assert_eq!(network.traits[1].delay_ns, 40_000_000);
    assert_eq!(network.traits[0].rate, Some(10_000_000));
    assert_eq!(parse(&topology.to_json()).unwrap(), topology);
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_right_key() {
    for (text, message) in [
        (
            r#""nodes": [{"id": "a"}, {"id": "b", "fles": []}]"#,
            r#"nodes[1].fles: unknown key; did you mean "files"?"#,
        ),
        (
            r#""defualts": {}"#,
            r#"defualts: unknown key; did you mean "defaults"?"#,
        ),
        (
            r#""defaults": {"dealy": "5ms"}"#,
            r#"defaults.dealy: unknown key; did you mean "delay"?"#,
        ),
        (
            r#""links": [{"from": "a", "to": "b", "dorp": 0.1}]"#,
            r#"links[0].dorp: unknown key; did you mean "drop"?"#,
        ),
        (
            r#""generate": [{"kind": "ring", "n": 5, "m": 2}]"#,
            "generate[0].m: unknown key; did you mean",
        ),
        (
            r#""generate": [{"kind": "rings", "n": 5}]"#,
            r#"generate[0].kind: unknown word "rings"; did you mean "ring"?"#,
        ),
        (
            r#""events": [{"at": "1s", "do": "kil", "node": "a"}]"#,
            r#"did you mean "kill"?"#,
        ),
        (
            r#""searches": [{"from": "a", "query": "x", "expect": 1}]"#,
            "searches[0].expect: unknown key",
        ),
        (
            r#""colours": []"#,
            "colours: unknown key; known here: filbert, name",
        ),
    ] {
        let said = error(text);
        assert!(
            said.contains(message),
            "{text}\nsaid {said}\nnot  {message}"
        );
    }
}

/// Parts of a file and what is said about them.
const WRONG: &[(&str, &str)] = &[
    (r#""seed": -1"#, "seed: must be a whole number from 0"),
    (
        r#""defaults": {"ttl": 0}"#,
        "defaults.ttl: must be a whole number from 1 to 255, but is 0",
    ),
    (
        r#""defaults": {"delay": 5}"#,
        r#"defaults.delay: must be a time with its unit, such as "5ms", but is 5"#,
    ),
    (
        r#""defaults": {"drop": 1.5}"#,
        "defaults.drop: must be a number from 0 to 1",
    ),
    (
        r#""defaults": {"rate": "10MB"}"#,
        "defaults.rate: must be bytes a second",
    ),
    (r#""nodes": [{}]"#, r#"nodes[0]: the key "id" is missing"#),
    (r#""nodes": [{"id": "../x"}]"#, "cannot be an id"),
    (
        r#""nodes": [{"id": "a", "files": [{"name": "../x"}]}]"#,
        "nodes[0].files[0].name: \"../x\" cannot be a file name",
    ),
    (
        r#""nodes": [{"id": "a", "share": ["/etc"]}]"#,
        "nodes[0].share[0]: \"/etc\" must be below the folder",
    ),
    (
        r#""nodes": [{"id": "a", "share": ["x/../.."]}]"#,
        "must be below the folder",
    ),
    (
        r#""nodes": [{"id": "a"}, {"id": "a"}]"#,
        "nodes[1].id: \"a\" is described twice",
    ),
    (
        r#""nodes": [{"id": "a"}], "links": [["a", "a"]]"#,
        "links[0]: links \"a\" to itself",
    ),
    (
        r#""nodes": [{"id": "a"}], "links": [["a"]]"#,
        "links[0]: must name two nodes",
    ),
    (
        r#""nodes": [{"id": "hub"}, {"id": "a"}], "links": [["a", "hbu"]]"#,
        r#"links[0]: there is no node "hbu"; did you mean "hub"?"#,
    ),
    (
        r#""nodes": [{"id": "a"}, {"id": "b"}], "links": [["a", "b"], ["b", "a"]]"#,
        "links[1]: b and a are linked already",
    ),
    (
        r#""generate": [{"kind": "line", "n": 3}], "links": [["n0", "n1"]]"#,
        "links[0]: n0 and n1 are linked already",
    ),
    (
        r#""generate": [{"kind": "line", "n": 3}, {"kind": "line", "n": 3}]"#,
        "generate[1]: the prefix \"n\" makes ids",
    ),
    (
        r#""generate": [{"kind": "line", "n": 30}, {"kind": "line", "n": 3, "prefix": "n1"}]"#,
        "makes ids that are there",
    ),
    (
        r#""generate": [{"kind": "star", "n": 20}], "defaults": {"max_peers": 16}"#,
        "n0 has 19 links but max_peers 16",
    ),
    (
        r#""generate": [{"kind": "rr", "n": 5, "k": 3}]"#,
        "generate[0]: random-regular needs an even n * k",
    ),
    (
        r#""nodes": [{"id": "a"}], "searches": [{"from": "b", "query": "x"}]"#,
        "searches[0].from: there is no node \"b\"",
    ),
    (
        r#""nodes": [{"id": "a"}], "searches": [{"from": "a", "query": " "}]"#,
        "searches[0].query: must hold words",
    ),
    (
        r#""nodes": [{"id": "a"}], "events": [{"at": "1s", "do": "kill", "node": "b"}]"#,
        "events[0].node: there is no node",
    ),
    (
        r#""content": {"files": 3, "copies": {}}"#,
        "content.copies: must have one key",
    ),
    (
        r#""workload": {"queries": 3, "arrival": {"poisson": "20"}}"#,
        "workload.arrival.poisson: must be so many a second",
    ),
    (r#""name": "empty""#, "has no nodes"),
    (
        r#""name": "a", "name": "b""#,
        "the key \"name\" is there twice",
    ),
    (r#""name": "#, "not a topology file"),
];

#[test]
fn a_wrong_value_is_named_with_its_place_and_what_it_must_be() {
    for (text, message) in WRONG {
        let said = error(text);
        assert!(
            said.contains(message),
            "{text}\nsaid {said}\nnot  {message}"
        );
    }
    let said = parse(r#"{ "filbert": "topology/2" }"#)
        .unwrap_err()
        .to_string();
    assert_eq!(said, "filbert: this program reads \"topology/1\" only");
    assert!(
        parse("{}")
            .unwrap_err()
            .to_string()
            .contains("the key \"filbert\" is missing")
    );
}

/// Every shape, small.
const SPECS: [&str; 11] = [
    "ring:12",
    "line:5",
    "star:20",
    "tree:b=3,d=4",
    "grid:8x8",
    "complete:8",
    "rr:n=64,k=4",
    "er:n=64,p=0.06",
    "ba:n=64,m=2",
    "ws:n=64,k=4,p=0.1",
    "two-tier:u=8,d=4,leaves=40",
];

#[test]
fn a_drawn_network_written_out_is_the_same_network() {
    for spec in SPECS {
        let topology = parse_spec(spec, 7).unwrap();
        let network = Network::new(&topology).unwrap();
        let written = network.spelled_out(&topology).to_json();
        let again = parse(&written).unwrap();
        let read = Network::new(&again).unwrap();
        assert_eq!(read.edges, network.edges, "{spec}");
        let names = |network: &Network| -> Vec<String> {
            network
                .names
                .in_natural_order()
                .iter()
                .map(|node| network.names.name(*node).into_owned())
                .collect()
        };
        assert_eq!(names(&read), names(&network), "{spec}");
        assert_eq!(read.seed, 7);
        assert_eq!(read.spelled_out(&again).to_json(), written, "{spec}");
    }
}

#[test]
fn the_same_seed_draws_the_same_links_and_another_seed_others() {
    for spec in [
        "rr:n=64,k=4",
        "er:n=64,p=0.06",
        "ba:n=64,m=2",
        "ws:n=64,k=4,p=0.1",
    ] {
        let edges = |seed| {
            Network::new(&parse_spec(spec, seed).unwrap())
                .unwrap()
                .edges
        };
        assert_eq!(edges(7), edges(7), "{spec}");
        assert_ne!(edges(7), edges(8), "{spec}");
    }
}

#[test]
fn long_and_short_names_of_a_shape_mean_the_same() {
    let shape = |kind: &str| {
        let text = with(&format!(
            r#""generate": [{{"kind": "{kind}", "n": 10, "m": 2}}]"#
        ));
        parse(&text).unwrap().generate[0].shape
    };
    assert_eq!(shape("ba"), Shape::BarabasiAlbert { n: 10, m: 2 });
    assert_eq!(shape("barabasi-albert"), shape("ba"));
}

#[test]
fn an_empty_topology_is_the_default_one() {
    assert_eq!(parse(&with(r#""seed": 0"#)).unwrap(), Topology::default());
}

/// The committed topologies: names and texts.
fn configs() -> Vec<(String, String)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("topology-configs");
    let mut configs: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .filter(|path| path.file_name().unwrap() != "topology.schema.json")
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    configs.sort();
    configs
}

fn schema() -> jsonschema::Validator {
    let schema = include_str!("../topology-configs/topology.schema.json");
    jsonschema::draft202012::new(&serde_json::from_str(schema).unwrap()).unwrap()
}

#[test]
fn every_committed_topology_is_read_fits_the_schema_and_is_in_the_readme() {
    let (schema, readme) = (schema(), include_str!("../topology-configs/README.md"));
    let configs = configs();
    assert!(configs.len() >= 9, "line-3 to real-folders");
    for (name, text) in configs {
        let network = parse(&text).and_then(|topology| Network::new(&topology));
        let network = network.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(network.name, name, "a topology is named as its file");
        assert!(
            !network.searches.is_empty(),
            "{name} has something to check"
        );
        let errors: Vec<_> = schema
            .iter_errors(&serde_json::from_str(&text).unwrap())
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert_eq!(errors, Vec::<String>::new(), "{name}");
        assert!(
            readme.contains(&format!("| `{name}` |")),
            "{name} is missing in the table"
        );
    }
}

#[test]
fn the_schema_takes_what_the_reader_takes_and_refuses_what_it_refuses() {
    let schema = schema();
    let fits = |text: &str| schema.is_valid(&serde_json::from_str(text).unwrap());
    assert!(fits(EVERYTHING));
    assert!(fits(&parse(EVERYTHING).unwrap().to_json()));
    for spec in SPECS {
        let topology = parse_spec(spec, 7).unwrap();
        assert!(fits(&topology.to_json()), "{spec}");
    }
    for part in [
        r#""nodes": [{"id": "b", "fles": []}]"#,
        r#""nodes": [{"id": "../x"}]"#,
        r#""nodes": [{"id": "a", "files": [{"name": "../x"}]}]"#,
        r#""defaults": {"delay": 5}"#,
        r#""defaults": {"ttl": 0}"#,
        r#""defaults": {"rate": "10MB"}"#,
        r#""links": [["a"]]"#,
        r#""generate": [{"kind": "ring", "n": 5, "m": 2}]"#,
        r#""generate": [{"kind": "rings", "n": 5}]"#,
        r#""events": [{"at": "1s", "do": "kil", "node": "a"}]"#,
        r#""events": [{"at": "1s", "do": "kill"}]"#,
        r#""events": [{"at": "1s", "do": "kill", "node": "a", "share": 0.5}]"#,
        r#""events": [{"at": "1s", "do": "kill", "nodes": []}]"#,
        r#""events": [{"at": "1s", "do": "kill", "share": 1.5}]"#,
        r#""events": [{"at": "1s", "do": "join", "share": 0.5}]"#,
        r#""events": [{"at": "1s", "do": "partition"}]"#,
        r#""events": [{"at": "1s", "do": "partition", "groups": []}]"#,
        r#""events": [{"at": "1s", "do": "partition", "groups": [["a"]], "from": "a", "to": "b"}]"#,
        r#""events": [{"at": "1s", "do": "partition", "from": "a"}]"#,
        r#""events": [{"at": "1s", "do": "cut"}]"#,
        r#""events": [{"at": "1s", "do": "change", "from": "a", "to": "b"}]"#,
        r#""events": [{"at": "1s", "do": "change", "rate": "some"}]"#,
        r#""events": [{"at": "1s", "do": "heal", "node": "a"}]"#,
        r#""events": [{"at": "1s", "do": "search", "from": "a", "query": "x", "hits": 1}]"#,
        r#""events": [{"at": "1s", "do": "churn", "up": "5s"}]"#,
        r#""events": [{"at": "1s", "do": "churn", "up": "5s", "down": "5s", "classes": []}]"#,
        r#""events": [{"at": "1s", "do": "churn", "classes": [{"share": 1, "shape": 0.5, "up": "5s"}]}]"#,
        r#""behaviours": {"junk": 1.5}"#,
        r#""behaviours": {"jung": 0.5}"#,
        r#""capacities": [{"share": 0, "capacity": "1/s"}]"#,
        r#""capacities": [{"capacity": "1/s"}]"#,
        r#""defaults": {"capacity": "0/s"}"#,
        r#""nodes": [{"id": "a", "capacity": 5}]"#,
        r#""generate": [{"kind": "two-tier", "u": 4, "d": 3, "leaves": 9, "role": "leaf"}]"#,
        r#""nodes": [{"id": "a", "role": "leave"}]"#,
        r#""searches": [{"from": "a", "query": " "}]"#,
        r#""content": {"files": 3, "copies": {}}"#,
        r#""colours": []"#,
        r#""import": [{"file": "/etc/x.links"}]"#,
        r#""import": [{"prefix": "a"}]"#,
    ] {
        assert!(!fits(&with(part)), "{part}");
        assert!(parse(&with(part)).is_err(), "{part}");
    }
}

#[test]
fn roles_come_from_the_node_its_shape_or_the_defaults_and_must_fit() {
    let network = |text: &str| parse(&with(text)).and_then(|topology| Network::new(&topology));
    let roles = |text: &str| -> Vec<Option<Role>> {
        let network = network(text).unwrap();
        (0..u32::try_from(network.names.len()).unwrap())
            .map(|node| network.roles.of(node))
            .collect()
    };
    let (leaf, ultrapeer) = (Some(Role::Leaf), Some(Role::Ultrapeer));
    assert_eq!(
        roles(
            r#""defaults": {"role": "leaf"}, "generate": [{"kind": "line", "n": 2, "role": "ultrapeer"}],
            "nodes": [{"id": "a"}, {"id": "b", "role": "ultrapeer"}], "links": [["a", "b"]]"#
        ),
        [ultrapeer, ultrapeer, leaf, ultrapeer]
    );
    assert_eq!(
        roles(r#""nodes": [{"id": "a"}]"#),
        [None],
        "flat unless somebody says so"
    );
    let two_tier =
        network(r#""generate": [{"kind": "two-tier", "u": 8, "d": 4, "leaves": 40}]"#).unwrap();
    let graph = two_tier.graph();
    for node in 0..48 {
        let (links, role) = (graph.links(node), two_tier.roles.of(node));
        let up = links
            .iter()
            .filter(|half| two_tier.roles.of(half.to) == ultrapeer)
            .count();
        let wanted = if node < 8 {
            (ultrapeer, 4, 15)
        } else {
            (leaf, 3, 0)
        };
        assert_eq!((role, up, links.len() - up), wanted, "node {node}");
    }
    for (text, message) in [
        (
            r#""nodes": [{"id": "a", "role": "leaf"}, {"id": "b"}], "links": [["a", "b"]]"#,
            "others have a role and \"b\" has none",
        ),
        (
            r#""defaults": {"role": "leaf"}, "nodes": [{"id": "a"}, {"id": "b"}], "links": [["a", "b"]]"#,
            "a and b are both leaves",
        ),
        (
            r#""nodes": [{"id": "a", "role": "leave"}]"#,
            "known here: leaf, ultrapeer",
        ),
        (
            r#""generate": [{"kind": "two-tier", "u": 4, "d": 4, "leaves": 40}]"#,
            "two-tier links its ultrapeers as random-regular needs k from 1 to n - 1",
        ),
        (
            r#""generate": [{"kind": "two-tier", "u": 2, "d": 1, "leaves": 40}]"#,
            "two-tier needs k from 1 to u",
        ),
        (
            r#""generate": [{"kind": "two-tier", "u": 4, "d": 3, "leaves": 9, "role": "leaf"}]"#,
            "unknown key",
        ),
    ] {
        let error = network(text).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
