//! `lab export --to compose|k8s`: the manifests are what the published schemas allow, give the containers no more than they
//! need, and what they have each container run makes the network of the topology.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod lab;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use lab::{Lab, PROGRAM, until};
use rustix::process::Signal;
use serde_json::{Map, Value, json};
use yaml_rust2::{Yaml, YamlLoader};

/// Five nodes in a ring with a chord; the nut opposite of `peer_0`, and things that are awkward to write down.
const NET: &str = r#"{
  "filbert": "topology/1", "name": "Two Islands", "seed": 7, "about": "costs $5: \"no\" # really\ttab",
  "generate": [{ "kind": "ring", "n": 4, "prefix": "peer_" }],
  "nodes": [
    { "id": "peer_2", "files": [{ "name": "cob nut ${HOME} $x.txt", "size": 700 }, { "name": "más: ü.txt" }] },
    { "id": "no", "slots": 1 }
  ],
  "links": [["no", "peer_0"], { "from": "peer_3", "to": "no", "delay": "300ms" }],
  "content": { "files": 3, "size": 2000000 }
}"#;

fn export(lab: &Lab, words: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["lab", "export"]).args(words);
    command.current_dir(lab.path()).output().unwrap()
}

fn exported(lab: &Lab, words: &[&str]) -> String {
    let output = export(lab, words);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.is_empty(), "{told}");
    String::from_utf8(output.stdout).unwrap()
}

/// All documents, as JSON, with merge keys followed as orchestrators do.
fn read(text: &str) -> Vec<Value> {
    let documents = YamlLoader::load_from_str(text).unwrap();
    documents.iter().map(as_json).collect()
}

fn as_json(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::String(text) => Value::from(text.as_str()),
        Yaml::Integer(number) => Value::from(*number),
        Yaml::Boolean(value) => Value::from(*value),
        Yaml::Array(items) => items.iter().map(as_json).collect(),
        Yaml::Hash(pairs) => {
            let mut map = Map::new();
            for (key, value) in pairs {
                let (key, value) = (key.as_str().unwrap(), as_json(value));
                let merged = match (key, value) {
                    ("<<", Value::Object(taken)) => taken,
                    (key, value) => Map::from_iter([(key.to_owned(), value)]),
                };
                map.extend(merged);
            }
            Value::Object(map)
        }
        other => panic!("none of ours: {other:?}"),
    }
}

fn schema(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/schemas")
        .join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn faults(schema: &Value, document: &Value) -> Vec<String> {
    let validator = jsonschema::validator_for(schema).unwrap();
    let faults = validator.iter_errors(document);
    faults
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect()
}

/// The schema of one kind of object.
fn kubernetes(document: &Value) -> Value {
    let kind = match document["kind"].as_str().unwrap() {
        "StatefulSet" => "io.k8s.api.apps.v1.StatefulSet",
        "NetworkPolicy" => "io.k8s.api.networking.v1.NetworkPolicy",
        "Service" => "io.k8s.api.core.v1.Service",
        "ConfigMap" => "io.k8s.api.core.v1.ConfigMap",
        other => panic!("{other}"),
    };
    let mut schema = schema("kubernetes.json");
    schema["$ref"] = format!("#/$defs/{kind}").into();
    schema
}

/// Compose puts `$` in place of `$$`.
fn interpolated(text: &Value) -> String {
    text.as_str().unwrap().replace("$$", "$")
}

#[test]
fn a_compose_file_is_what_the_specification_allows_and_gives_no_more_than_needed() {
    let lab = Lab::new();
    lab.file("net.json", NET);
    let text = exported(
        &lab,
        &[
            "net.json",
            "--to",
            "compose",
            "--image",
            "lab.example:5000/filbert:1",
        ],
    );
    let documents = read(&text);
    let [file] = documents.as_slice() else {
        panic!("one document")
    };
    assert_eq!(faults(&schema("compose.json"), file), Vec::<String>::new());
    let mut wrong = file.clone();
    wrong["services"]["no"]["tmpfs"] = json!(7);
    assert_eq!(
        faults(&schema("compose.json"), &wrong).len(),
        1,
        "the schema looks"
    );

    assert_eq!(file["name"], "two-islands");
    assert_eq!(file["networks"]["overlay"]["internal"], true);
    let services = file["services"].as_object().unwrap();
    let names: Vec<&String> = services.keys().collect();
    assert_eq!(names, ["no", "peer_0", "peer_1", "peer_2", "peer_3"]);
    for (id, service) in services {
        assert_eq!(service["image"], "lab.example:5000/filbert:1");
        assert_eq!(
            (&service["user"], &service["read_only"]),
            (&"65532:65532".into(), &true.into())
        );
        assert_eq!(service["cap_drop"], json!(["ALL"]));
        assert_eq!(service["security_opt"], json!(["no-new-privileges:true"]));
        for open in ["ports", "privileged", "cap_add", "network_mode", "volumes"] {
            assert_eq!(service.get(open), None, "{id}");
        }
        let limits = &service["deploy"]["resources"]["limits"];
        // 64 MiB of program, 64 of state, and the largest folder of made-up files.
        assert_eq!(limits["memory"], "130M");
        assert!(limits["cpus"].is_string() && limits["pids"].is_u64());
        assert_eq!(service["command"][2], **id);
    }
    let topology = interpolated(&file["configs"]["topology"]["content"]);
    let copy = lab.file("copy.json", &topology);
    let same = |file: &str| exported(&lab, &[file, "--to", "csv"]);
    assert_eq!(same("net.json"), same(copy.to_str().unwrap()));
    assert!(topology.contains("cob nut ${HOME} $x.txt") && topology.contains("costs $5"));
}

#[test]
fn kubernetes_objects_are_what_its_schemas_allow_and_give_no_more_than_needed() {
    let lab = Lab::new();
    lab.file("net.json", NET);
    let text = exported(&lab, &["net.json", "--to", "k8s"]);
    let objects = read(&text);
    for object in &objects {
        assert_eq!(faults(&kubernetes(object), object), Vec::<String>::new());
        let mut wrong = object.clone();
        wrong["metadata"]["nmae"] = "typo".into();
        assert!(
            !faults(&kubernetes(&wrong), &wrong).is_empty(),
            "the schema looks"
        );
        assert_eq!(object["metadata"]["name"], "two-islands");
    }
    let by_kind: BTreeMap<&str, &Value> = objects
        .iter()
        .map(|object| (object["kind"].as_str().unwrap(), object))
        .collect();
    let (service, set) = (by_kind["Service"], by_kind["StatefulSet"]);
    assert_eq!(
        service["spec"]["clusterIP"], "None",
        "no address that others could reach"
    );
    assert_eq!(service["spec"].get("type"), None);
    assert_eq!(set["spec"]["replicas"], 5);
    let selector = &set["spec"]["selector"]["matchLabels"];
    let template = &set["spec"]["template"];
    assert_eq!(&template["metadata"]["labels"], selector);
    assert_eq!(&service["spec"]["selector"], selector);
    let policy = &by_kind["NetworkPolicy"]["spec"];
    assert_eq!(&policy["podSelector"]["matchLabels"], selector);
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    let pod = &template["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["automountServiceAccountToken"], false);
    let container = &pod["containers"][0];
    assert_eq!(container["image"], "filbert:latest");
    let may = &container["securityContext"];
    assert_eq!(
        (
            &may["allowPrivilegeEscalation"],
            &may["readOnlyRootFilesystem"],
            &may["capabilities"]["drop"][0]
        ),
        (&false.into(), &true.into(), &"ALL".into())
    );
    let resources = &container["resources"];
    assert_eq!(resources["limits"]["memory"], "64Mi");
    assert!(resources["requests"]["memory"].is_string());
    let data = &by_kind["ConfigMap"]["data"];
    let copy = lab.file("copy.json", data["topology.json"].as_str().unwrap());
    let same = |file: &str| exported(&lab, &[file, "--to", "csv"]);
    assert_eq!(same("net.json"), same(copy.to_str().unwrap()));
    let who = data["nodes.txt"].as_str().unwrap();
    assert!(
        who.starts_with("two-islands-0 peer_0\n") && who.ends_with("two-islands-4 no\n"),
        "{who}"
    );
}

#[test]
fn what_containers_cannot_do_is_refused_with_the_way_out() {
    let lab = Lab::new();
    let net = |nodes: &str| format!(r#"{{"filbert": "topology/1", "nodes": [{nodes}]}}"#);
    let long = "a".repeat(64);
    for (nodes, to, part) in [
        (
            r#"{"id": "a", "share": ["."]}, {"id": "b"}"#,
            "k8s",
            "\"files\"",
        ),
        (
            r#"{"id": "a", "share": ["nowhere"]}, {"id": "b"}"#,
            "compose",
            "no folder",
        ),
        (
            r#"{"id": "a"}, {"id": "A"}"#,
            "compose",
            "the same name in DNS",
        ),
        (
            &format!(r#"{{"id": "{long}"}}"#),
            "compose",
            "no name in DNS",
        ),
        (
            r#"{"id": "a", "behaviour": "junk"}"#,
            "compose",
            "misbehave",
        ),
    ] {
        lab.file("net.json", &net(nodes));
        let output = export(&lab, &["net.json", "--to", to]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(part) && output.stdout.is_empty(), "{told}");
    }
    let output = export(&lab, &["ring:1001", "--to", "compose"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--to k8s"));
    let links: Vec<String> = (1..2000)
        .map(|node| format!(r#"["n{}","n{node}"]"#, node - 1))
        .collect();
    let nodes: Vec<String> = (0..2000)
        .map(|node| {
            format!(
                r#"{{"id": "n{node}", "files": [{{"name": "{0}/{0}/{0}.txt"}}]}}"#,
                "x".repeat(200)
            )
        })
        .collect();
    let text = format!(
        r#"{{"filbert": "topology/1", "nodes": [{}], "links": [{}]}}"#,
        nodes.join(","),
        links.join(",")
    );
    lab.file("big.json", &text);
    for (to, wanted) in [("k8s", "config map holds"), ("compose", "--to k8s")] {
        let output = export(&lab, &["big.json", "--to", to]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(2) && told.contains(wanted),
            "{to}: {told}"
        );
    }
    let output = export(&lab, &["ring:3", "--to", "k8s", "--image", "a b"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("filbert:latest"));
}

#[test]
fn events_are_left_out_aloud() {
    let lab = Lab::new();
    let text = r#"{"filbert": "topology/1", "generate": [{"kind": "ring", "n": 3}],
        "events": [{"at": "1s", "do": "kill", "node": "n1"}, {"at": "2s", "do": "restart", "node": "n1"}]}"#;
    lab.file("net.json", text);
    for to in ["compose", "k8s"] {
        let output = export(&lab, &["net.json", "--to", to]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && told.contains("2 events are left out"),
            "{told}"
        );
        assert!(!read(&String::from_utf8(output.stdout).unwrap()).is_empty());
    }
}

#[test]
fn a_shared_folder_is_mounted_where_the_topology_in_the_container_has_it() {
    let lab = Lab::new();
    std::fs::create_dir(lab.path().join("corpus")).unwrap();
    lab.file(
        "net.json",
        r#"{"filbert": "topology/1", "nodes": [{"id": "a", "share": ["corpus"]}]}"#,
    );
    let file = &read(&exported(&lab, &["net.json", "--to", "compose"]))[0];
    assert_eq!(faults(&schema("compose.json"), file), Vec::<String>::new());
    let mount = &file["services"]["a"]["volumes"][0];
    let folder = lab.path().join("corpus").canonicalize().unwrap();
    assert_eq!(mount["source"], folder.to_str().unwrap());
    assert_eq!(
        (&mount["target"], &mount["read_only"]),
        (&"/lab/corpus".into(), &true.into())
    );
}

/// A container as far as this machine can be one: its command, with its own folder and address.
struct Container {
    child: Child,
    home: String,
}

impl Container {
    /// Starts what a manifest says, and waits until `ready` or `links-up`.
    fn start(lab: &Lab, words: &[String], node: usize, first: u16) -> Self {
        let data = lab.path().join(format!("data{node}"));
        let data = data.to_str().unwrap();
        let port = first + u16::try_from(node).unwrap();
        let mut command = Command::new(PROGRAM);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--data" => command.args([word, data]).args(words.next().map(|_| "-v")),
                "--hosts" => command.args(words.next().map(|_| "-q")),
                "--topology" => {
                    assert_eq!(words.next().unwrap(), "/lab/topology.json");
                    command.args([word, lab.path().join("topology.json").to_str().unwrap()])
                }
                "$(NODE)" => command.arg(node.to_string()),
                word => command.arg(word),
            };
        }
        // Numbers below 10, so that they may end a port.
        assert_eq!(first % 10, 0);
        command.args(["--hosts", &format!("127.0.0.1:{}{{}}", first / 10)]);
        command.args(["--listen", &format!("127.0.0.1:{port}")]);
        let log = std::fs::File::create(lab.path().join(format!("log{node}"))).unwrap();
        command.env_remove("FILBERT_HOME").stderr(log);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            child,
            home: format!("{data}/home"),
        }
    }

    /// Waits until it says so.
    fn until_linked(&mut self) -> Value {
        let lines = BufReader::new(self.child.stdout.take().unwrap()).lines();
        let mut lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        let up = lines.find(|line| line["type"] == "links-up").unwrap();
        std::thread::spawn(move || lines.count());
        up
    }

    fn filbert(&self, words: &[&str]) -> Vec<Value> {
        let output = Command::new(PROGRAM)
            .args(["--home", &self.home, "--json"])
            .args(words)
            .output()
            .unwrap();
        lab::lines(&String::from_utf8(output.stdout).unwrap())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ten ports in a row that nobody listens at, the first with a 0 at its end.
fn free_ports() -> u16 {
    let start = 20_000 + u16::try_from(std::process::id() % 1_000).unwrap() * 10;
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (start..30_000)
        .step_by(10)
        .find(|first| (*first..first + 10).all(free))
        .unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    let texts = value.as_array().unwrap().iter();
    texts
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn what_containers_run_makes_the_network_of_the_topology() {
    let lab = Lab::new();
    lab.file("net.json", NET);
    let compose = &read(&exported(&lab, &["net.json", "--to", "compose"]))[0];
    lab.file(
        "topology.json",
        &interpolated(&compose["configs"]["topology"]["content"]),
    );
    let objects = read(&exported(&lab, &["net.json", "--to", "k8s"]));
    let set = objects
        .iter()
        .find(|object| object["kind"] == "StatefulSet")
        .unwrap();
    let arguments = texts(&set["spec"]["template"]["spec"]["containers"][0]["args"]);
    // Half of them as Compose starts them, half as Kubernetes does.
    let ids = ["peer_0", "peer_1", "peer_2", "peer_3", "no"];
    let words = |node: usize| match node % 2 {
        0 => texts(&compose["services"][ids[node]]["command"]),
        _ => arguments.clone(),
    };
    let first = free_ports();
    let start = |node: usize| Container::start(&lab, &words(node), node, first);
    // Whoever dials comes first and has nobody to call yet.
    let mut nodes: Vec<Container> = (0..5).map(start).collect();
    for (node, links) in [3, 2, 2, 3, 2].into_iter().enumerate() {
        let up = nodes[node].until_linked();
        assert_eq!(
            (&up["node"], &up["links"]),
            (&ids[node].into(), &links.into())
        );
    }
    let peers = |node: &Container| node.filbert(&["peers"]).len();
    assert_eq!(nodes.iter().map(peers).collect::<Vec<_>>(), [3, 2, 2, 3, 2]);
    let hits = nodes[4].filbert(&["search", "cob", "nut", "--max", "1"]);
    // The way over peer_3 is shorter by a link, and slower by far.
    assert_eq!(
        (&hits[0]["node"], &hits[0]["hops"]),
        (&"peer_2".into(), &3.into())
    );
    assert_eq!(hits[0]["name"], "cob nut ${HOME} $x.txt");

    // One dies as pods do, and comes back: whoever dials does so again, whichever end that is.
    lab::signal(nodes[0].child.id(), Signal::KILL);
    nodes[0].child.wait().unwrap();
    until("the end to be noticed", || {
        (peers(&nodes[4]) == 1).then_some(())
    });
    nodes[0] = start(0);
    assert_eq!(nodes[0].until_linked()["links"], 3);
    until("the links to be back", || {
        (peers(&nodes[4]) == 2).then_some(())
    });

    lab::signal(nodes[1].child.id(), Signal::TERM);
    assert_eq!(
        nodes[1].child.wait().unwrap().code(),
        Some(0),
        "it takes leave when asked to"
    );
}

#[test]
fn a_node_that_is_none_is_refused() {
    for (words, part) in [
        (&["n9"][..], "there is no node \"n9\"; did you mean n"),
        (&["--number", "3"], "has 3, from number 0"),
        (&["n0", "--hosts", "lab"], "{id}"),
        (&[], "<NODE>"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let output = Command::new(PROGRAM)
            .args(["lab", "node", "--topology", "ring:3", "--data"])
            .arg(dir.path())
            .args(words)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(2) && told.contains(part),
            "{told}"
        );
    }
}
