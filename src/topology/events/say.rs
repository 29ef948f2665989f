//! What happens, in a few words for people.

use std::fmt::{Display, Formatter, Result, Write as _};

use super::{Act, Between, Churn, Partition, Times, Who};
use crate::topology::types::{Asker, LinkTraits};
use crate::topology::units::show_duration;

/// Names said; more are counted.
const NAMES_SAID: usize = 6;

/// As in `partition n0..n5 / n6..n11`.
impl Display for Act {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(self.word())?;
        match self {
            Self::Search(search) | Self::Expect { search, .. } => match &search.from {
                Asker::Node(name) => write!(f, " {:?} from {name}", search.query),
                Asker::Each => write!(f, " {:?} from each", search.query),
            },
            Self::Kill(who) | Self::Leave(who) | Self::Restart(who) | Self::Join(who) => {
                write!(f, " {who}")
            }
            Self::Partition(Partition::Groups(groups)) => {
                let mut all: Vec<String> = groups.iter().map(|names| some(names)).collect();
                if all.len() == 1 {
                    all.push("the rest".to_owned());
                }
                write!(f, " {}", all.join(" / "))
            }
            Self::Partition(Partition::OneWay { from, to }) => {
                write!(f, " from {} to {}", some(from), some(to))
            }
            Self::Heal | Self::Calm => Ok(()),
            Self::Cut(between) => write!(f, " {between}"),
            Self::Change { between, to } => write!(f, " {} {between}", traits(to)),
            Self::Churn(churn) => write!(f, " {churn}"),
        }
    }
}

impl Display for Who {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Named(names) => f.write_str(&some(names)),
            Self::Share(share) => write!(f, "{} % of the nodes", share * 100.0),
        }
    }
}

impl Display for Between {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match (self.from.as_slice(), self.to.as_slice()) {
            ([], []) => f.write_str("on all links"),
            (one, []) | ([], one) => write!(f, "at {}", some(one)),
            (from, to) => write!(f, "between {} and {}", some(from), some(to)),
        }
    }
}

impl Display for Churn {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.times {
            Times::Memoryless { up, down } => {
                write!(
                    f,
                    "{} up, {} down",
                    show_duration(*up),
                    show_duration(*down)
                )?;
            }
            Times::Classes(classes) if classes.len() == 1 => f.write_str("of one class")?,
            Times::Classes(classes) => write!(f, "of {} classes", classes.len())?,
        }
        if !self.nodes.is_empty() {
            write!(f, " of {}", some(&self.nodes))?;
        }
        Ok(())
    }
}

/// Names, if they are few.
fn some(names: &[String]) -> String {
    let said = names.len().min(NAMES_SAID);
    let mut text = names[..said].join(" ");
    if names.len() > said {
        let _ = write!(text, " and {} more", names.len() - said);
    }
    text
}

fn traits(traits: &LinkTraits) -> String {
    let mut said = Vec::new();
    if let Some(delay) = traits.delay {
        said.push(format!("delay {}", show_duration(delay)));
    }
    if let Some(jitter) = traits.jitter {
        said.push(format!("jitter {}", show_duration(jitter)));
    }
    if let Some(drop) = traits.drop {
        said.push(format!("drop {drop}"));
    }
    match traits.rate {
        Some(0) => said.push("no rate".to_owned()),
        Some(rate) => said.push(format!("rate {rate} B/s")),
        None => {}
    }
    said.join(", ")
}
