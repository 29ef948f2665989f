//! A network that is up, with what goes on in it by itself.

use super::churn::Churn;
use super::deed::{Deed, Done};
use super::fleet::Fleet;
use super::launch::Order;
use crate::cli::exit::Failure;
use crate::cli::output::units;
use crate::sim::report::Comings;
use crate::topology::Network;
use crate::topology::events::Times;

/// Nodes, and who of them comes and goes.
#[derive(Debug)]
pub(in crate::cli::lab) struct Live<'a> {
    network: &'a Network,
    fleet: Fleet<'a>,
    churn: Option<Churn>,
    comings: Option<Comings>,
}

impl<'a> Live<'a> {
    /// A network that has just come up. Nodes that join later go at once.
    ///
    /// # Errors
    /// A neighbour of them does not notice in time; `interrupted`.
    pub(in crate::cli::lab) fn new(
        order: Order<'a>,
        mut fleet: Fleet<'a>,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Self, Failure> {
        let nodes = order.network.joining();
        if !nodes.is_empty() {
            fleet.do_deed(&Deed::Leave { nodes }, interrupted)?;
        }
        Ok(Self {
            network: order.network,
            fleet,
            churn: None,
            comings: None,
        })
    }

    /// What it is made of.
    pub(super) fn network(&self) -> &'a Network {
        self.network
    }

    /// The nodes and links.
    pub(in crate::cli::lab) fn fleet(&self) -> &Fleet<'a> {
        &self.fleet
    }

    /// Ends all nodes.
    pub(in crate::cli::lab) fn stop(self) -> usize {
        self.fleet.stop()
    }

    /// Does something to the network, and waits until it is so.
    ///
    /// # Errors
    /// As [`Fleet::do_deed`].
    pub(super) fn do_deed(
        &mut self,
        deed: &Deed,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Done, Failure> {
        match deed {
            Deed::Churn {
                nodes,
                crash,
                before,
                times,
            } => {
                let all: Vec<u32>;
                let nodes = if nodes.is_empty() {
                    let count = u32::try_from(self.network.names.len());
                    all = (0..count.expect("nodes are counted in 32 bits")).collect();
                    &all
                } else {
                    nodes
                };
                let seed = self.network.seed;
                self.churn = Some(Churn::new(nodes, *crash, *before, times, seed));
                let who = units::counted(
                    nodes.len() as u64,
                    "node comes and goes",
                    "nodes come and go",
                );
                Ok(Done {
                    said: format!("{who} from now on: {}", said(times)),
                    ..Done::default()
                })
            }
            Deed::Calm => {
                let churn = self.churn.take();
                let nodes = churn.map_or_else(Vec::new, |churn| churn.away(&self.fleet));
                if nodes.is_empty() {
                    return Ok(Done {
                        said: "no churn; no node of it was down".to_owned(),
                        ..Done::default()
                    });
                }
                self.fleet.do_deed(&Deed::Restart { nodes }, interrupted)
            }
            other => self.fleet.do_deed(other, interrupted),
        }
    }

    /// What churn has due now.
    pub(super) fn churned(&mut self) -> Option<Deed> {
        let deed = self.churn.as_mut()?.next(&self.fleet)?;
        let counted = self.comings.get_or_insert_default();
        match &deed {
            Deed::Restart { .. } => counted.came += 1,
            Deed::Leave { .. } => counted.left += 1,
            _ => counted.died += 1,
        }
        Some(deed)
    }

    /// How often churn had a node go or come, if it did.
    pub(super) fn comings(&self) -> Option<Comings> {
        self.comings
    }

    /// When churn has something due next, from now.
    pub(super) fn wait(&self) -> Option<std::time::Duration> {
        self.churn.as_ref()?.wait()
    }
}

fn said(times: &Times) -> String {
    let time = |time| units::short_time(time);
    match times {
        Times::Memoryless { up, down } => {
            format!(
                "up for {} and down for {} on average",
                time(*up),
                time(*down)
            )
        }
        Times::Classes(classes) => {
            let class = |class: &crate::topology::events::NodeClass| {
                format!("{} and {}", time(class.up), time(class.down))
            };
            let all: Vec<String> = classes.iter().map(class).collect();
            format!(
                "up and down for {} in the middle of their class",
                all.join(", or ")
            )
        }
    }
}
