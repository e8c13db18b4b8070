//! Names of the objects of a checkpoint. Only names of this form are ever removed.

use std::fmt;

use crate::format::{FormatError, wrong};

/// Which part of the key a store may share its load by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// All shards of an attempt below one prefix.
    #[default]
    Flat,
    /// A prefix for each of sixteen groups of ranks.
    RoundRobin,
    /// A prefix from the bits of the rank in reverse, so that neighbours lie far apart.
    Binary,
}

impl Strategy {
    /// A strategy by its name: `flat`, `round_robin` (or `roundrobin`), `binary`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "flat" => Some(Self::Flat),
            "round_robin" | "roundrobin" => Some(Self::RoundRobin),
            "binary" => Some(Self::Binary),
            _ => None,
        }
    }

    fn spread(self, rank: u32) -> String {
        match self {
            Self::Flat => String::new(),
            Self::RoundRobin => format!("{:02x}/", rank % 16),
            Self::Binary => format!("{:02x}/", (rank as u8).reverse_bits()),
        }
    }
}

/// One try to save a step.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attempt {
    /// The step.
    pub step: u64,
    /// 32 hexadecimal digits that no other attempt has.
    pub id: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{}", self.step, self.id)
    }
}

impl Attempt {
    /// An attempt, from a step and 32 hexadecimal digits.
    ///
    /// # Errors
    /// Anything else.
    pub fn new(step: u64, id: &str) -> Result<Self, FormatError> {
        if !hexadecimal(id, 32) {
            return wrong(format!("the attempt {id:?} is not of 32 small hexadecimal digits"));
        }
        Ok(Self { step, id: id.to_owned() })
    }

    fn parse(text: &str) -> Option<Self> {
        let (step, id) = text.split_once('-')?;
        Some(Self { step: number(step)?, id: hexadecimal(id, 32).then(|| id.to_owned())? })
    }

    /// The key of a shard; `nonce` tells two shards of one rank apart.
    #[must_use]
    pub fn shard(&self, strategy: Strategy, rank: u32, world: u32, nonce: u64, extension: &str) -> String {
        format!("data/{}{self}/r{rank:05}-of-{world:05}-{nonce:016x}.{extension}", strategy.spread(rank))
    }

    /// The key of a rank's description.
    #[must_use]
    pub fn meta(&self, rank: u32) -> String {
        format!("data/{self}/r{rank:05}.meta")
    }

    /// The key of the manifest.
    #[must_use]
    pub fn manifest(&self) -> String {
        format!("data/{self}/MANIFEST")
    }
}

/// The key of the object whose presence is the commit of a step.
#[must_use]
pub fn commit(step: u64) -> String {
    format!("steps/{step:020}")
}

/// The key of the hint to the newest step.
pub const LATEST: &str = "LATEST";

/// The step that a key below `steps/` commits.
#[must_use]
pub fn committed(key: &str) -> Option<u64> {
    number(key.strip_prefix("steps/")?)
}

/// The attempt that a key below `data/` belongs to; `None` for a key that this crate did not make.
#[must_use]
pub fn attempt_of(key: &str) -> Option<Attempt> {
    let parts: Vec<&str> = key.split('/').collect();
    let (attempt, name) = match parts.as_slice() {
        ["data", attempt, name] => (attempt, name),
        ["data", spread, attempt, name] if hexadecimal(spread, 2) && shard_name(name) => (attempt, name),
        _ => return None,
    };
    (*name == "MANIFEST" || meta_name(name) || shard_name(name)).then(|| Attempt::parse(attempt))?
}

/// Whether a key that a manifest gives may be read: a shard of ours, below the checkpoint.
#[must_use]
pub fn is_shard(key: &str) -> bool {
    attempt_of(key).is_some() && key.rsplit('/').next().is_some_and(shard_name)
}

/// The attempt that a directory of this name belongs to.
#[must_use]
pub(crate) fn attempt_named(name: &str) -> Option<Attempt> {
    Attempt::parse(name)
}

fn meta_name(name: &str) -> bool {
    name.strip_prefix('r').and_then(|name| name.strip_suffix(".meta")).is_some_and(|rank| digits(rank, 5))
}

fn shard_name(name: &str) -> bool {
    let Some((stem, "safetensors" | "s3ck")) = name.rsplit_once('.') else { return false };
    let parts: Vec<&str> = stem.split('-').collect();
    let [rank, "of", world, nonce] = parts.as_slice() else { return false };
    rank.strip_prefix('r').is_some_and(|rank| digits(rank, 5)) && digits(world, 5) && hexadecimal(nonce, 16)
}

fn digits(text: &str, least: usize) -> bool {
    (least..=10).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit())
}

fn number(text: &str) -> Option<u64> {
    (text.len() == 20 && text.bytes().all(|digit| digit.is_ascii_digit())).then(|| text.parse().ok())?
}

fn hexadecimal(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// Shares tensors that all ranks have out among them, by bytes: the largest first, each to the rank that has the least.
/// The result is the rank of each, the same on all ranks.
#[must_use]
pub fn balance(sizes: &[(String, u64)], world: u32) -> Vec<u32> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|&a, &b| (sizes[b].1, &sizes[a].0).cmp(&(sizes[a].1, &sizes[b].0)));
    let mut load = vec![0_u64; world.max(1) as usize];
    let mut owner = vec![0; sizes.len()];
    for at in order {
        let least = (0..load.len()).min_by_key(|&rank| load[rank]).unwrap_or(0);
        // An empty tensor counts too, so that many of them do not all go to one rank.
        load[least] += sizes[at].1.max(1);
        owner[at] = u32::try_from(least).unwrap_or(0);
    }
    owner
}
