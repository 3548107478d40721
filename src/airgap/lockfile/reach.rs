//! Under which condition a package of a graph is reached from the roots: markers stand on the
//! edges. Pure.

use std::collections::HashMap;

use super::marker::{COMPARISONS_MAX, Marker};

/// Chains longer than this are taken as unconditional beyond it.
const DEPTH_MAX: usize = 128;

/// A locked package.
#[derive(Debug)]
pub struct Node {
    pub name: String,
    pub version: Option<String>,
    /// What it depends on, extras and groups included.
    pub edges: Vec<Edge>,
    /// The parts of a forked resolution that it belongs to; none: all.
    pub forks: Vec<Option<Marker>>,
    pub is_root: bool,
}

#[derive(Debug)]
pub struct Edge {
    pub name: String,
    /// Only where a name alone is ambiguous.
    pub version: Option<String>,
    pub marker: Option<Marker>,
}

/// For each node the condition under which it may be needed, never too narrow; `None`: always.
pub fn markers(nodes: &[Node]) -> Vec<Option<Marker>> {
    let mut named: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        named.entry(&node.name).or_default().push(at);
    }
    let mut incoming = vec![Vec::new(); nodes.len()];
    for (from, node) in nodes.iter().enumerate() {
        for edge in &node.edges {
            for &to in named.get(edge.name.as_str()).into_iter().flatten() {
                let (Some(target), Some(edges)) = (nodes.get(to), incoming.get_mut(to)) else {
                    continue;
                };
                if edge.version.is_none() || edge.version == target.version {
                    edges.push((from, &edge.marker));
                }
            }
        }
    }
    let mut walk = GraphWalk {
        nodes,
        incoming,
        known: vec![ReachedWhen::Unseen; nodes.len()],
    };
    (0..nodes.len()).map(|at| walk.marker(at, 0)).collect()
}

#[derive(Clone)]
enum ReachedWhen {
    Unseen,
    /// On the way to itself: a circle adds no condition.
    Open,
    Known(Option<Marker>),
}

struct GraphWalk<'n> {
    nodes: &'n [Node],
    /// For each node the ones that depend on it, and when.
    incoming: Vec<Vec<(usize, &'n Option<Marker>)>>,
    known: Vec<ReachedWhen>,
}

impl GraphWalk<'_> {
    fn marker(&mut self, at: usize, depth: usize) -> Option<Marker> {
        match self.known.get(at)? {
            ReachedWhen::Known(marker) => return marker.clone(),
            ReachedWhen::Open => return None,
            ReachedWhen::Unseen if depth > DEPTH_MAX => return None,
            ReachedWhen::Unseen => {}
        }
        self.set(at, ReachedWhen::Open);
        let forks = self.nodes.get(at)?.forks.clone();
        let forked = small(Marker::any(forks));
        let reached = self.reached(at, depth);
        let both = small(Marker::all([reached.clone(), forked.clone()]));
        let marker = both.or(reached).or(forked);
        self.set(at, ReachedWhen::Known(marker.clone()));
        marker
    }

    /// By any of its edges.
    fn reached(&mut self, at: usize, depth: usize) -> Option<Marker> {
        let edges = self.incoming.get(at)?.clone();
        if edges.is_empty() || self.nodes.get(at)?.is_root {
            return None;
        }
        let mut ways = Vec::new();
        for &(from, marker) in &edges {
            let parent = self.marker(from, depth + 1);
            ways.push(Marker::all([parent, marker.clone()]));
        }
        match Marker::any(ways) {
            Some(whole) if whole.comparisons() > COMPARISONS_MAX => {
                let own = edges.into_iter().map(|(_, marker)| marker.clone());
                small(Marker::any(own))
            }
            whole => whole,
        }
    }

    fn set(&mut self, at: usize, state: ReachedWhen) {
        if let Some(known) = self.known.get_mut(at) {
            *known = state;
        }
    }
}

/// A condition too large to be kept is none.
fn small(marker: Option<Marker>) -> Option<Marker> {
    marker.filter(|marker| marker.comparisons() <= COMPARISONS_MAX)
}
