//! JSON -> [`Step`].

use std::time::Duration;

use super::{Act, Between, Churn, NodeClass, Partition, Step, Times, WITHIN, Who};
use crate::topology::at::{At, Object};
use crate::topology::parse::{Result, link_traits, search};
use crate::topology::types::Amount;

/// Names in one list of an event.
const NAMES_MAX: usize = 100_000;
/// Classes of nodes that come and go.
const CLASSES_MAX: usize = 100;
/// Letters of a name, an id on either side of a range among them.
const NAME_BYTES_MAX: usize = 2 * crate::topology::ID_BYTES_MAX + 2;

#[derive(Clone, Copy)]
enum Do {
    Search,
    Expect,
    Kill,
    Leave,
    Restart,
    Join,
    Partition,
    Heal,
    Cut,
    Change,
    Churn,
    Calm,
}

const WORDS: [(&str, Do); 12] = [
    ("search", Do::Search),
    ("expect", Do::Expect),
    ("kill", Do::Kill),
    ("leave", Do::Leave),
    ("restart", Do::Restart),
    ("join", Do::Join),
    ("partition", Do::Partition),
    ("heal", Do::Heal),
    ("cut", Do::Cut),
    ("change", Do::Change),
    ("churn", Do::Churn),
    ("calm", Do::Calm),
];

impl Do {
    /// Keys besides `at` and `do`.
    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Search => &["from", "query", "ttl"],
            Self::Expect => &["from", "query", "ttl", "hits", "within"],
            Self::Kill | Self::Leave | Self::Restart => &["node", "nodes", "share"],
            Self::Join => &["node", "nodes"],
            Self::Partition => &["groups", "from", "to"],
            Self::Heal | Self::Calm => &[],
            Self::Cut => &["from", "to"],
            Self::Change => &["from", "to", "delay", "jitter", "drop", "rate"],
            Self::Churn => &["nodes", "crash", "before", "up", "down", "classes"],
        }
    }
}

/// Reads one event.
pub(in crate::topology) fn event(at: &At<'_>) -> Result<Step> {
    let mut any = vec!["at", "do"];
    for (_, what) in WORDS {
        any.extend_from_slice(what.keys());
    }
    let what = at.object(&any)?.need("do")?.one_of(&WORDS)?;
    let keys: Vec<&str> = ["at", "do"]
        .into_iter()
        .chain(what.keys().iter().copied())
        .collect();
    let object = at.object(&keys)?;
    let act = match what {
        Do::Search => Act::Search(search(&object)?),
        Do::Expect => {
            let mut search = search(&object)?;
            search.hits = search.hits.or(Some(Amount {
                min: 1,
                max: u64::MAX,
            }));
            Act::Expect {
                search,
                within: object.read("within", At::duration)?.unwrap_or(WITHIN),
            }
        }
        Do::Kill => Act::Kill(who(at, &object)?),
        Do::Leave => Act::Leave(who(at, &object)?),
        Do::Restart => Act::Restart(who(at, &object)?),
        Do::Join => Act::Join(who(at, &object)?),
        Do::Partition => Act::Partition(partition(at, &object)?),
        Do::Heal => Act::Heal,
        Do::Cut => {
            let between = between(&object)?;
            if between == Between::default() {
                return Err(at.fault("say which links: \"from\" and \"to\", or one of them"));
            }
            Act::Cut(between)
        }
        Do::Change => {
            let (between, to) = (between(&object)?, link_traits(&object)?);
            if to == crate::topology::types::LinkTraits::default() {
                return Err(at.fault("say what changes: delay, jitter, drop or rate"));
            }
            Act::Change { between, to }
        }
        Do::Churn => Act::Churn(churn(at, &object)?),
        Do::Calm => Act::Calm,
    };
    Ok(Step {
        at: object.need("at")?.duration()?,
        act,
    })
}

/// One name or a list of names.
fn names(at: &At<'_>) -> Result<Vec<String>> {
    if at.is_text() {
        return Ok(vec![name(at)?]);
    }
    let items = at.list()?;
    if items.len() == 0 || items.len() > NAMES_MAX {
        return Err(at.fault(format!("must have 1 to {NAMES_MAX} names")));
    }
    items.map(|item| name(&item)).collect()
}

fn name(at: &At<'_>) -> Result<String> {
    let text = at.text()?;
    if text.is_empty() || text.len() > NAME_BYTES_MAX {
        return Err(at.fault("must be the id of a node, \"a*\" or \"n0..n5\""));
    }
    Ok(text.to_owned())
}

fn who(at: &At<'_>, object: &Object<'_>) -> Result<Who> {
    let (node, nodes) = (object.get("node"), object.get("nodes"));
    match (node, nodes, object.get("share")) {
        (Some(node), None, None) => Ok(Who::Named(vec![name(&node)?])),
        (None, Some(nodes), None) => Ok(Who::Named(names(&nodes)?)),
        (None, None, Some(share)) => Ok(Who::Share(share.real(0.0, 1.0)?)),
        _ => Err(at.fault("must have one key that says who: \"node\", \"nodes\" or \"share\"")),
    }
}

fn partition(at: &At<'_>, object: &Object<'_>) -> Result<Partition> {
    let ends = (object.get("from"), object.get("to"));
    match (object.get("groups"), ends) {
        (Some(groups), (None, None)) => {
            let groups: Vec<Vec<String>> = groups
                .list()?
                .map(|group| names(&group))
                .collect::<Result<_>>()?;
            if groups.is_empty() {
                return Err(at.fault("must have a group at least; those of no group form another"));
            }
            Ok(Partition::Groups(groups))
        }
        (None, (Some(from), Some(to))) => Ok(Partition::OneWay {
            from: names(&from)?,
            to: names(&to)?,
        }),
        _ => Err(at.fault(
            "must have \"groups\", between which nothing passes, or \"from\" and \"to\", for one way only",
        )),
    }
}

fn between(object: &Object<'_>) -> Result<Between> {
    Ok(Between {
        from: object.read("from", names)?.unwrap_or_default(),
        to: object.read("to", names)?.unwrap_or_default(),
    })
}

fn churn(at: &At<'_>, object: &Object<'_>) -> Result<Churn> {
    let (up, down) = (object.read("up", span)?, object.read("down", span)?);
    let times = match (up, down, object.get("classes")) {
        (Some(up), Some(down), None) => Times::Memoryless { up, down },
        (None, None, None) => Times::Classes(NodeClass::USUAL.to_vec()),
        (None, None, Some(classes)) => {
            let all: Vec<NodeClass> = classes
                .list()?
                .map(|item| class(&item))
                .collect::<Result<_>>()?;
            let shares: f64 = all.iter().map(|class| class.share).sum();
            if all.len() > CLASSES_MAX || shares <= 0.0 {
                return Err(classes.fault(format!(
                    "must have 1 to {CLASSES_MAX} classes, one with a share above 0"
                )));
            }
            Times::Classes(all)
        }
        _ => {
            return Err(at.fault(
                "must have \"up\" and \"down\", or \"classes\", or none of them for the usual two classes",
            ));
        }
    };
    Ok(Churn {
        nodes: object.read("nodes", names)?.unwrap_or_default(),
        crash: object.read("crash", |at| at.real(0.0, 1.0))?.unwrap_or(1.0),
        before: object.read("before", At::duration)?.unwrap_or_default(),
        times,
    })
}

/// A time that is not 0.
fn span(at: &At<'_>) -> Result<Duration> {
    let span = at.duration()?;
    if span.is_zero() {
        return Err(at.fault("must be longer than 0"));
    }
    Ok(span)
}

fn class(at: &At<'_>) -> Result<NodeClass> {
    let object = at.object(&["share", "shape", "up", "spread", "down", "sigma"])?;
    let usual = NodeClass::USUAL[0];
    Ok(NodeClass {
        share: object.need("share")?.real(0.0, 1e9)?,
        shape: object.need("shape")?.real(0.1, 10.0)?,
        up: span(&object.need("up")?)?,
        spread: object
            .read("spread", |at| at.real(0.0, 10.0))?
            .unwrap_or(0.0),
        down: span(&object.need("down")?)?,
        sigma: object
            .read("sigma", |at| at.real(0.0, 10.0))?
            .unwrap_or(usual.sigma),
    })
}
