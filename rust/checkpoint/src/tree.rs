//! The typed tree: which values a checkpoint holds, without their tensors' bytes, as flat JSON.
//!
//! A tree is a list of nodes in pre-order. Scalars stand for themselves; a container says how many nodes follow it, so
//! the text never nests and its depth is a number to be checked, not a stack to be exhausted.
//!
//! ```text
//! {"dict": 2} "step" 7 "weights" {"tensor": "weights", "as": "numpy", "dtype": "<f4"}
//! ```

use std::collections::HashSet;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::format::{FormatError, wrong};

/// Containers inside each other at most.
pub const MOST_DEPTH: usize = 128;

/// Nodes of a tree at most.
pub const MOST_NODES: usize = 4_000_000;

/// A checked tree.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Tree {
    nodes: Vec<Value>,
}

/// Containers, and how many nodes each of their items takes.
pub(crate) const CONTAINERS: [(&str, u64); 8] = [
    ("dict", 2),
    ("odict", 2),
    ("list", 1),
    ("tuple", 1),
    ("set", 1),
    ("frozenset", 1),
    ("torch_sparse", 1),
    ("jax_key", 1),
];

impl Tree {
    /// Parses a tree from its text.
    ///
    /// # Errors
    /// Text that is no list of known nodes, a tree that is cut short, too deep or too large.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        serde_json::from_str(text).map_err(|error| FormatError(format!("the tree of values is wrong: {error}")))
    }

    /// The text of the tree.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(&self.nodes).unwrap_or_default()
    }

    pub(crate) fn nodes(&self) -> &[Value] {
        &self.nodes
    }

    /// The tree that holds nothing but tensors: what a file without a tree stands for.
    #[must_use]
    pub fn of_tensors<'a>(tensors: impl ExactSizeIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut nodes = vec![serde_json::json!({"dict": tensors.len()})];
        for (name, dtype) in tensors {
            nodes.push(Value::String(name.into()));
            nodes.push(serde_json::json!({"tensor": name, "as": "plain", "dtype": dtype}));
        }
        Self { nodes }
    }

    /// Names of the tensors that the tree refers to.
    pub fn tensors(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter_map(|node| reference(node.as_object()?))
    }

    /// Whether the tree holds pickled objects.
    #[must_use]
    pub fn has_pickle(&self) -> bool {
        self.nodes.iter().any(|node| node.get("pickle").is_some() || node.get("pickle_in").is_some())
    }

    /// Checks that every tensor that the tree refers to is one of `names`, save those that other shards hold.
    ///
    /// # Errors
    /// The first that is not.
    pub fn resolve(&self, names: &HashSet<&str>) -> Result<(), FormatError> {
        let local = |node: &&Map<String, Value>| node.get("global") != Some(&Value::Bool(true));
        let mut referred = self.nodes.iter().filter_map(Value::as_object).filter(local).filter_map(reference);
        match referred.find(|name| !names.contains(name)) {
            Some(name) => wrong(format!("the tree refers to the tensor {name:?}, which is not there")),
            None => Ok(()),
        }
    }
}

pub(crate) fn reference(node: &Map<String, Value>) -> Option<&str> {
    ["tensor", "bytes_in", "bytearray_in", "pickle_in"].iter().find_map(|kind| node.get(*kind)?.as_str())
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Nodes)
    }
}

struct Nodes;

impl<'de> Visitor<'de> for Nodes {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of nodes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut nodes = Vec::new();
        // How many nodes each open container still waits for.
        let mut open: Vec<u64> = Vec::new();
        let mut complete = false;
        while let Some(node) = seq.next_element::<Value>()? {
            if complete || nodes.len() == MOST_NODES {
                return Err(A::Error::custom("there are more nodes than the tree has place for"));
            }
            let follow = following(&node).map_err(A::Error::custom)?;
            if let Some(left) = open.last_mut() {
                *left -= 1;
            }
            if follow > 0 {
                open.push(follow);
                if open.len() > MOST_DEPTH {
                    return Err(A::Error::custom(format_args!("the tree is deeper than {MOST_DEPTH} containers")));
                }
            }
            while open.last() == Some(&0) {
                open.pop();
            }
            complete = open.is_empty();
            nodes.push(node);
        }
        if complete { Ok(Tree { nodes }) } else { Err(A::Error::custom("the tree is cut short")) }
    }
}

/// How many nodes follow as the content of this one.
fn following(node: &Value) -> Result<u64, FormatError> {
    let Value::Object(fields) = node else {
        return match node {
            Value::Array(_) => wrong("a node is a list, expected a scalar or an object"),
            Value::Number(number) if !number.is_i64() => wrong(format!("the node {number} is no integer")),
            _ => Ok(0),
        };
    };
    for (kind, nodes) in CONTAINERS {
        if let Some(count) = fields.get(kind) {
            let count = count.as_u64().and_then(|count| count.checked_mul(nodes));
            let extra = u64::from(fields.get("meta").is_some());
            let known = fields.len() as u64 == 1 + extra && (extra == 0 || kind == "odict");
            return match count.and_then(|count| count.checked_add(extra)) {
                Some(count) if known => Ok(count),
                _ => wrong(format!("the container {} is wrong", shown(node))),
            };
        }
    }
    if leaf(fields) { Ok(0) } else { wrong(format!("the node {} is of no known kind", shown(node))) }
}

fn leaf(fields: &Map<String, Value>) -> bool {
    if let Some(name) = reference(fields) {
        return !name.is_empty() && fields.values().all(plain);
    }
    let Some((kind, value)) = fields.iter().next() else { return false };
    let text = value.as_str();
    let hexadecimal = |length: Option<usize>| {
        text.is_some_and(|text| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            length.map_or(!digits.is_empty(), |length| text.len() == length)
                && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
        })
    };
    let encoded = || text.is_some_and(|text| BASE64_STANDARD.decode(text).is_ok());
    match kind.as_str() {
        "int" => fields.len() == 1 && hexadecimal(None),
        "float" => fields.len() == 1 && hexadecimal(Some(16)),
        "complex" => fields.len() == 1 && hexadecimal(Some(32)),
        "str" | "bytes" | "bytearray" | "pickle" => fields.len() == 1 && encoded(),
        "torch_dtype" | "torch_device" => fields.len() == 1 && text.is_some(),
        "torch_size" => fields.len() == 1 && value.as_array().is_some_and(|items| items.iter().all(Value::is_u64)),
        _ => scalar(fields),
    }
}

/// A NumPy scalar: its dtype and its bytes.
fn scalar(fields: &Map<String, Value>) -> bool {
    let text = |key: &str| fields.get(key).and_then(Value::as_str);
    fields.len() == 2
        && text("dtype").is_some()
        && text("scalar").is_some_and(|text| BASE64_STANDARD.decode(text).is_ok())
}

/// A field of a reference: a scalar, or a list of them.
fn plain(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(|item| !item.is_array() && !item.is_object()),
        Value::Object(_) => false,
        _ => true,
    }
}

fn shown(node: &Value) -> String {
    node.to_string().chars().take(80).collect()
}
