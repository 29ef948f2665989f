//! [`Step`] -> JSON that [`read`](super::read) reads back.

use super::{Act, Between, Churn, NodeClass, Partition, Step, Times, Who};
use crate::topology::print::{Line, search};
use crate::topology::units::show_duration;

/// One event as a line of a file.
pub(in crate::topology) fn event(step: &Step) -> Line {
    let line = Line::default()
        .put("at", show_duration(step.at))
        .put("do", step.act.word());
    match &step.act {
        Act::Search(asked) => search(line, asked),
        Act::Expect {
            search: asked,
            within,
        } => search(line, asked).put("within", show_duration(*within)),
        Act::Kill(who) | Act::Leave(who) | Act::Restart(who) | Act::Join(who) => match who {
            Who::Named(names) => match names.as_slice() {
                [name] => line.put("node", name.as_str()),
                names => line.put("nodes", names.to_vec()),
            },
            Who::Share(share) => line.put("share", *share),
        },
        Act::Partition(Partition::Groups(groups)) => line.put("groups", groups.clone()),
        Act::Partition(Partition::OneWay { from, to }) => {
            line.put("from", from.clone()).put("to", to.clone())
        }
        Act::Heal | Act::Calm => line,
        Act::Cut(span) => between(line, span),
        Act::Change { between: span, to } => between(line, span).traits(to),
        Act::Churn(all) => churn(line, all),
    }
}

fn between(line: Line, between: &Between) -> Line {
    let end = |line: Line, key: &'static str, names: &[String]| match names {
        [] => line,
        [name] => line.put(key, name.as_str()),
        names => line.put(key, names.to_vec()),
    };
    end(end(line, "from", &between.from), "to", &between.to)
}

fn churn(line: Line, churn: &Churn) -> Line {
    let line = match churn.nodes.as_slice() {
        [] => line,
        nodes => line.put("nodes", nodes.to_vec()),
    };
    let line = line
        .put("crash", churn.crash)
        .put("before", show_duration(churn.before));
    match &churn.times {
        Times::Memoryless { up, down } => line
            .put("up", show_duration(*up))
            .put("down", show_duration(*down)),
        Times::Classes(classes) => line.list(
            "classes",
            classes.iter().map(|class| self::class(class).text()),
        ),
    }
}

fn class(class: &NodeClass) -> Line {
    Line::default()
        .put("share", class.share)
        .put("shape", class.shape)
        .put("up", show_duration(class.up))
        .put("spread", class.spread)
        .put("down", show_duration(class.down))
        .put("sigma", class.sigma)
}
