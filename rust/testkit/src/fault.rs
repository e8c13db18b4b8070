//! Rules by which the server misbehaves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::request::Request;

/// Which requests are answered how. Rules are looked at in order, and the first that applies is carried out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// HTTP method; any where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// S3's name of the operation, such as `UploadPart`; any where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Regular expression found in the decoded key; any where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Text contained in the query as it was sent; any where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Spares requests that have this header with a value containing this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless_header: Option<(String, String)>,
    /// Requests that match and are served well first; 0.
    #[serde(default)]
    pub skip: u64,
    /// Of the requests after those, only each so-many-th, the first included; 1.
    #[serde(default = "one")]
    pub every: u64,
    /// Requests that it is done to; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// What is done.
    pub action: Action,
}

fn one() -> u64 {
    1
}

/// Where in a request something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Before the request's body is read; nothing takes effect.
    #[default]
    Request,
    /// After so many bytes of the request's body; nothing takes effect.
    Upload,
    /// After the effect, before the first byte of the answer.
    Reply,
    /// After so many bytes of the answer's body.
    Body,
}

/// What is done to a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Answered with this status and nothing else; a status of success carries an error document all the same.
    Status {
        /// HTTP status.
        status: u16,
        /// Code in the error document; derived from the status where absent.
        #[serde(default)]
        code: Option<String>,
        /// Headers of the answer, such as `Retry-After` or `Location`.
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    /// The connection is reset.
    Reset {
        /// When.
        #[serde(default)]
        stage: Stage,
        /// Bytes of the body that pass first.
        #[serde(default)]
        after: u64,
    },
    /// The connection ends in order, though early.
    Close {
        /// When.
        #[serde(default)]
        stage: Stage,
        /// Bytes of the body that pass first.
        #[serde(default)]
        after: u64,
    },
    /// Silence on an open connection; with a time it goes on as if nothing had been.
    Stall {
        /// When.
        #[serde(default)]
        stage: Stage,
        /// Bytes of the body that pass first.
        #[serde(default)]
        after: u64,
        /// How long; for ever where absent.
        #[serde(default)]
        seconds: Option<f64>,
    },
    /// `Content-Length` says more (and the connection closes early) or less (and the rest follows nevertheless).
    Length {
        /// Difference between what is said and what is sent, in bytes.
        by: i64,
    },
    /// The body comes in chunks without a length.
    Chunked {
        /// The connection closes after so many bytes, without the last chunk.
        #[serde(default)]
        after: Option<u64>,
    },
    /// One byte of the answer's body is changed.
    Corrupt {
        /// Its place.
        at: u64,
    },
    /// The body of the request, or of the answer, goes through slowly.
    Throttle {
        /// Bytes in a second.
        bytes_per_second: u64,
    },
    /// An upload is completed without this part, though every part was named.
    DropPart {
        /// Its number, from 1.
        part: u32,
    },
}

/// A rule that cannot be followed.
#[derive(Debug)]
pub struct BadRule(String);

impl std::fmt::Display for BadRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadRule {}

#[derive(Debug)]
struct Armed {
    rule: Rule,
    key: Option<Regex>,
    seen: AtomicU64,
    done: AtomicU64,
}

impl Armed {
    fn new(rule: Rule) -> Result<Self, BadRule> {
        let key = rule.key.as_deref().map(Regex::new).transpose().map_err(|error| BadRule(error.to_string()))?;
        if rule.every == 0 {
            return Err(BadRule("every: found 0, expected at least 1".into()));
        }
        Ok(Self { rule, key, seen: AtomicU64::new(0), done: AtomicU64::new(0) })
    }

    fn matches(&self, request: &Request) -> bool {
        let Rule { method, operation, query, unless_header, .. } = &self.rule;
        method.as_ref().is_none_or(|method| request.method.as_str().eq_ignore_ascii_case(method))
            && operation.as_ref().is_none_or(|operation| request.operation.name() == operation)
            && self.key.as_ref().is_none_or(|key| key.is_match(&request.key))
            && query.as_ref().is_none_or(|query| request.raw_query.contains(query.as_str()))
            && unless_header
                .as_ref()
                .is_none_or(|(name, value)| !request.header(name).is_some_and(|found| found.contains(value.as_str())))
    }

    fn applies(&self, request: &Request) -> bool {
        if !self.matches(request) {
            return false;
        }
        let seen = self.seen.fetch_add(1, Ordering::Relaxed);
        let turn = seen >= self.rule.skip && (seen - self.rule.skip).is_multiple_of(self.rule.every);
        turn && self.rule.times.is_none_or(|times| self.done.fetch_add(1, Ordering::Relaxed) < times)
    }
}

/// The rules in force.
#[derive(Debug, Default)]
pub(crate) struct Faults(RwLock<Vec<Armed>>);

impl Faults {
    /// Puts these rules into the place of all earlier ones.
    pub(crate) fn set(&self, rules: Vec<Rule>) -> Result<(), BadRule> {
        let armed = rules.into_iter().map(Armed::new).collect::<Result<_, _>>()?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = armed;
        Ok(())
    }

    pub(crate) fn of(&self, request: &Request) -> Option<Action> {
        let rules = self.0.read().unwrap_or_else(PoisonError::into_inner);
        rules.iter().find(|armed| armed.applies(request)).map(|armed| armed.rule.action.clone())
    }
}
