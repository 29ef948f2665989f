//! Two tiers: which node is a leaf and which an ultrapeer, and what that allows.

use std::collections::BTreeMap;

use super::names::Names;
use super::types::{NodeSpec, Topology};
use super::{Edge, TopologyError};
use crate::node::event::Role;

/// The place of each node; empty on a flat overlay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles(Vec<Role>);

impl Roles {
    /// What a topology says: a node for itself, else its shape, else the defaults.
    ///
    /// # Errors
    /// Some nodes have a role and others none.
    pub(super) fn new(
        topology: &Topology,
        names: &Names,
        nodes: &BTreeMap<u32, NodeSpec>,
    ) -> Result<Self, TopologyError> {
        let mut roles = vec![topology.defaults.role; names.len()];
        let mut first = 0;
        for generate in &topology.generate {
            let count = generate.shape.nodes().expect("checked when it was read");
            for at in 0..count {
                let role = generate.role.or(generate.shape.role(at));
                if role.is_some() {
                    roles[(first + at) as usize] = role;
                }
            }
            first += count;
        }
        for (node, spec) in nodes {
            if spec.role.is_some() {
                roles[*node as usize] = spec.role;
            }
        }
        if roles.iter().all(Option::is_none) {
            return Ok(Self::default());
        }
        if let Some(at) = (0_u32..)
            .zip(&roles)
            .find_map(|(at, role)| role.is_none().then_some(at))
        {
            let message = format!(
                "others have a role and {:?} has none; give it one, or all of them with \"role\" in \"defaults\"",
                names.name(at)
            );
            return Err(TopologyError::new("", message));
        }
        Ok(Self(roles.into_iter().flatten().collect()))
    }

    /// Are there two tiers?
    pub fn are_two_tiers(&self) -> bool {
        !self.0.is_empty()
    }

    /// The place of a node; `None` on a flat overlay.
    pub fn of(&self, node: u32) -> Option<Role> {
        self.0.get(node as usize).copied()
    }

    /// Number of nodes with this role.
    pub fn count(&self, role: Role) -> usize {
        self.0.iter().filter(|known| **known == role).count()
    }

    /// Is it a leaf?
    pub fn is_leaf(&self, node: u32) -> bool {
        self.of(node) == Some(Role::Leaf)
    }

    /// Two leaves are never linked: neither would do anything for the other.
    pub(super) fn check_links(&self, edges: &[Edge], names: &Names) -> Result<(), TopologyError> {
        let both = edges
            .iter()
            .find(|edge| self.is_leaf(edge.a) && self.is_leaf(edge.b));
        both.map_or(Ok(()), |edge| {
            let message = format!(
                "{} and {} are both leaves and cannot be linked; a leaf hangs on ultrapeers",
                names.name(edge.a),
                names.name(edge.b)
            );
            Err(TopologyError::new("links", message))
        })
    }
}
