//! A topology as Kubernetes objects: a stateful set whose pods are the nodes, in the order of the topology.
//!
//! Pods know their number by the label `apps.kubernetes.io/pod-index` (Kubernetes 1.28 on). A service without an address
//! gives each a name in DNS, also before it is ready, and a network policy lets them speak to each other and to DNS only.

use std::fmt::Write as _;

use super::yaml::{Yaml, list, map, words};
use super::{DATA, MEMORY_MAX_MIB, MEMORY_SURE_MIB, Plan, TOPOLOGY, USER, cannot};
use crate::cli::args::values::PORT;
use crate::cli::exit::Failure;

/// Bytes of a config map (Kubernetes documentation, "ConfigMaps": 1 MiB), less room for its names.
const CONFIG_BYTES_MAX: usize = (1 << 20) - 4096;
/// The label that holds the number of a pod.
const INDEX: &str = "metadata.labels['apps.kubernetes.io/pod-index']";

/// The objects.
///
/// # Errors
/// A topology that no config map holds; shared folders, which no cluster has.
pub(super) fn manifest(plan: &Plan<'_>) -> Result<String, Failure> {
    let network = &plan.source.network;
    if let Some(spec) = network.nodes.values().find(|spec| !spec.share.is_empty()) {
        let text = format!(
            "node {:?} shares folders of this machine, which a cluster has not: give it \"files\", or use --to compose",
            spec.id
        );
        return Err(cannot(text));
    }
    let name = plan.name.as_str();
    let pods = (0..).zip(0..plan.nodes());
    let who = pods.fold(String::new(), |mut who, (node, pod)| {
        let _ = writeln!(who, "{name}-{pod} {}", network.names.name(node));
        who
    });
    let bytes = plan.topology.len() + who.len();
    if bytes > CONFIG_BYTES_MAX {
        let text = format!(
            "the topology takes {bytes} bytes, and a config map holds {CONFIG_BYTES_MAX}: use a shape such as rr:n=64,k=4 in \
             place of links one by one, or fewer nodes"
        );
        return Err(cannot(text));
    }
    let labels = || {
        map([
            ("app.kubernetes.io/name", "filbert".into()),
            ("app.kubernetes.io/instance", name.into()),
        ])
    };
    let about = || map([("name", name.into()), ("labels", labels())]);
    let object = |api: &str, kind: &str, rest: (&str, Yaml)| {
        map([
            ("apiVersion", api.into()),
            ("kind", kind.into()),
            ("metadata", about()),
            rest,
        ])
    };
    let data = map([
        ("nodes.txt", Yaml::Lines(who)),
        ("topology.json", Yaml::Lines(plan.topology.clone())),
    ]);
    let objects = [
        object("v1", "ConfigMap", ("data", data)),
        object("v1", "Service", ("spec", service(labels()))),
        object(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            ("spec", policy(&labels())),
        ),
        object(
            "apps/v1",
            "StatefulSet",
            ("spec", stateful_set(plan, &labels())),
        ),
    ];
    let head = format!(
        "# {name} for Kubernetes from 1.28 on, written by filbert {}. nodes.txt says which pod is which node.\n\
         #   kubectl apply --server-side -f FILE\n\
         #   kubectl rollout status statefulset/{name}\n\
         #   kubectl exec {name}-0 -- filbert search WORDS\n\
         #   kubectl delete -f FILE\n",
        env!("CARGO_PKG_VERSION"),
    );
    let documents = objects.map(|object| object.document());
    Ok(format!("{head}{}", documents.join("---\n")))
}

/// TCP and UDP at the port of the network.
fn ports(key: &str) -> Yaml {
    list(
        ["TCP", "UDP"]
            .map(|protocol| map([(key, u64::from(PORT).into()), ("protocol", protocol.into())])),
    )
}

fn service(labels: Yaml) -> Yaml {
    let port = |name: &str, protocol: &str| {
        map([
            ("name", name.into()),
            ("port", u64::from(PORT).into()),
            ("protocol", protocol.into()),
        ])
    };
    map([
        ("clusterIP", "None".into()),
        ("publishNotReadyAddresses", true.into()),
        ("selector", labels),
        (
            "ports",
            list([port("gnutella", "TCP"), port("gnutella-udp", "UDP")]),
        ),
    ])
}

fn policy(labels: &Yaml) -> Yaml {
    let selector = || map([("matchLabels", labels.clone())]);
    let peers = || list([map([("podSelector", selector())])]);
    let dns = list(
        ["UDP", "TCP"].map(|protocol| map([("port", 53.into()), ("protocol", protocol.into())])),
    );
    map([
        ("podSelector", selector()),
        ("policyTypes", words(&["Ingress", "Egress"])),
        (
            "ingress",
            list([map([("from", peers()), ("ports", ports("port"))])]),
        ),
        (
            "egress",
            list([
                map([("to", peers()), ("ports", ports("port"))]),
                map([("ports", dns)]),
            ]),
        ),
    ])
}

fn stateful_set(plan: &Plan<'_>, labels: &Yaml) -> Yaml {
    let name = plan.name.as_str();
    let mebibytes = |count: u64| Yaml::from(format!("{count}Mi"));
    let data = mebibytes(plan.data_mib);
    let who = map([
        ("runAsNonRoot", true.into()),
        ("runAsUser", USER.into()),
        ("runAsGroup", USER.into()),
        ("fsGroup", USER.into()),
        ("seccompProfile", map([("type", "RuntimeDefault".into())])),
    ]);
    let volumes = list([
        map([
            ("name", "lab".into()),
            ("configMap", map([("name", name.into())])),
        ]),
        map([
            ("name", "data".into()),
            ("emptyDir", map([("sizeLimit", data.clone())])),
        ]),
    ]);
    let spec = map([
        ("automountServiceAccountToken", false.into()),
        ("enableServiceLinks", false.into()),
        ("terminationGracePeriodSeconds", 10.into()),
        ("securityContext", who),
        ("containers", list([container(plan, data)])),
        ("volumes", volumes),
    ]);
    map([
        ("serviceName", name.into()),
        ("replicas", plan.nodes().into()),
        ("podManagementPolicy", "Parallel".into()),
        ("selector", map([("matchLabels", labels.clone())])),
        (
            "template",
            map([
                ("metadata", map([("labels", labels.clone())])),
                ("spec", spec),
            ]),
        ),
    ])
}

fn container(plan: &Plan<'_>, data: Yaml) -> Yaml {
    let name = &plan.name;
    let hosts = format!("{name}-{{}}.{name}");
    let command = [
        "lab",
        "node",
        "--number",
        "$(NODE)",
        "--hosts",
        &hosts,
        "--topology",
        TOPOLOGY,
        "--data",
        DATA,
        "--json",
    ];
    let variable = |name: &str, key: &str, value: Yaml| map([("name", name.into()), (key, value)]);
    let number = map([("fieldRef", map([("fieldPath", INDEX.into())]))]);
    let mut environment = vec![variable("NODE", "valueFrom", number)];
    for (name, value) in Plan::environment() {
        environment.push(variable(name, "value", value.into()));
    }
    let mount = |name: &str, path: &str, read_only: bool| {
        map([
            ("name", name.into()),
            ("mountPath", path.into()),
            ("readOnly", read_only.into()),
        ])
    };
    let port = |name: &str, protocol: &str| {
        map([
            ("name", name.into()),
            ("containerPort", u64::from(PORT).into()),
            ("protocol", protocol.into()),
        ])
    };
    let mebibytes = |count: u64| Yaml::from(format!("{count}Mi"));
    let resources = map([
        (
            "requests",
            map([
                ("cpu", "10m".into()),
                ("memory", mebibytes(MEMORY_SURE_MIB)),
                ("ephemeral-storage", data.clone()),
            ]),
        ),
        (
            "limits",
            map([
                ("cpu", "1".into()),
                ("memory", mebibytes(MEMORY_MAX_MIB)),
                ("ephemeral-storage", data),
            ]),
        ),
    ]);
    let may = map([
        ("allowPrivilegeEscalation", false.into()),
        ("readOnlyRootFilesystem", true.into()),
        ("capabilities", map([("drop", words(&["ALL"]))])),
    ]);
    let ready = map([("tcpSocket", map([("port", u64::from(PORT).into())]))]);
    map([
        ("name", "node".into()),
        ("image", plan.image.into()),
        ("imagePullPolicy", "IfNotPresent".into()),
        ("command", words(&["filbert"])),
        ("args", words(&command)),
        ("env", Yaml::List(environment)),
        (
            "ports",
            list([port("gnutella", "TCP"), port("gnutella-udp", "UDP")]),
        ),
        ("readinessProbe", ready),
        ("resources", resources),
        ("securityContext", may),
        (
            "volumeMounts",
            list([mount("lab", "/lab", true), mount("data", DATA, false)]),
        ),
    ])
}
