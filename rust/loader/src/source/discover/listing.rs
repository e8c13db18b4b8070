//! Listings, streamed into a table; long ones in parts side by side.
//!
//! A store tells a thousand keys at a time and each page names the next, so that the listing of a large prefix is a chain
//! of requests. Where the first pages show directories with many objects each, the directories that follow are listed at
//! the same time, and what is below them likewise; only of a server that lists in ascending order so far. Small and flat
//! data sets cost no request more than their pages.

use std::future::Future;
use std::sync::Arc;

use s3dlio_runtime::executor::BoxFuture;
use s3dlio_store::ops::{self, Entry, ListOptions, Lister};
use s3dlio_store::pattern::Pattern;
use s3dlio_store::{Result, StoreError, Uri};
use tokio::sync::Semaphore;

use crate::source::ObjectTable;

/// Pages that are read before it is asked whether the rest can be shared out: below 4,000 objects it would save nothing.
const FIRST_PAGES: usize = 4;

/// Objects that a directory has to hold on average, as far as seen: a page is a request for each directory, which may be
/// nearly empty, and with fewer than this many the parts would need many times the requests of the chain.
const LEAST_IN_DIRECTORY: usize = 64;

/// Pages in flight. A listing of ten thousand pages then takes as long as six hundred requests.
const PAGES_IN_FLIGHT: usize = 16;

/// Lists what is below a prefix. The call reads the environment, the future does not.
///
/// # Errors
/// As [`ops::list`]; from the future also [`StoreError::NotFound`] where there is nothing.
pub(super) fn below(text: &str, pattern: Option<&str>) -> Result<impl Future<Output = Result<ObjectTable>> + use<>> {
    let uri = Uri::parse(text)?;
    let pattern = pattern.map(Pattern::glob).transpose()?;
    let selected = pattern.as_ref().map_or_else(String::new, |_| " that matches the pattern".into());
    let lister = ops::list(&uri, ListOptions { recursive: true, pattern, sizes: true })?;
    let text = text.to_owned();
    Ok(async move {
        let shared = Arc::new(Shared { root: uri.root(), turns: Semaphore::new(PAGES_IN_FLIGHT) });
        let table = tree(shared, lister).await?.sorted().without_markers();
        if table.is_empty() { Err(missing(&uri, &text, &selected)) } else { Ok(table) }
    })
}

struct Shared {
    root: String,
    turns: Semaphore,
}

impl Shared {
    /// The next page, when it is its turn.
    async fn page(&self, lister: Lister) -> Result<Option<(Vec<Entry>, Lister)>> {
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await.ok();
        lister.page().into_future().await
    }
}

/// What a listing brings; boxed, because it begins further ones.
fn tree(shared: Arc<Shared>, lister: Lister) -> BoxFuture<Result<ObjectTable>> {
    Box::pin(async move {
        let (mut table, mut seen) = (ObjectTable::default(), Seen::new(lister.directory()));
        let (mut rest, mut pages) = (Some(lister), 0);
        while let Some(lister) = rest.take() {
            let Some((page, mut next)) = shared.page(lister).await? else { break };
            for entry in &page {
                seen.add(&entry.key, table.len());
                table.push(&shared.root, &entry.key, entry.size);
            }
            pages += 1;
            // Some servers list in no order: directories before the newest one could then still be to come.
            if pages == FIRST_PAGES
                && table.is_ascending()
                && let Some(from) = seen.directory()
            {
                let parts;
                (next, parts) = split(&shared, next, &from).await?;
                if let Some(parts) = parts {
                    let mut table = table.head(seen.before);
                    parts.iter().for_each(|part| table.append(part));
                    next.complete(table.len() as u64);
                    return Ok(table);
                }
            }
            rest = Some(next);
        }
        table.shrink();
        Ok(table)
    })
}

/// Lists the directories and objects of this level from the directory `from` on, each directory by itself; `None` of a
/// store that tells everything at once. Gives the lister back, which no two threads may hold.
async fn split(shared: &Arc<Shared>, lister: Lister, from: &str) -> Result<(Lister, Option<Vec<ObjectTable>>)> {
    let Some(level) = lister.level() else { return Ok((lister, None)) };
    let turn = shared.turns.acquire().await.ok();
    let mut level = level.all().into_future().await?;
    drop(turn);
    level.retain(|entry| entry.key.as_str() >= from);
    let mut parts = Vec::new();
    for entry in level {
        if entry.key.ends_with('/') {
            parts.push(Part::Below(lister.within(&entry.key).map(Box::new)));
        } else if lister.selects(&entry.key) {
            match parts.last_mut() {
                Some(Part::Objects(objects)) => objects.push(entry),
                _ => parts.push(Part::Objects(vec![entry])),
            }
        }
    }
    let tables = ops::each(parts, PAGES_IN_FLIGHT, |part| {
        let shared = Arc::clone(shared);
        async move {
            match part {
                Part::Objects(objects) => Ok(table_of(&shared.root, &objects)),
                Part::Below(lister) => tree(shared, *lister?).await,
            }
        }
    });
    Ok((lister, Some(tables.await?)))
}

enum Part {
    /// Objects of the level itself.
    Objects(Vec<Entry>),
    /// A directory.
    Below(Result<Box<Lister>>),
}

fn table_of(root: &str, entries: &[Entry]) -> ObjectTable {
    let mut table = ObjectTable::default();
    entries.iter().for_each(|entry| table.push(root, &entry.key, entry.size));
    table
}

/// What the first pages tell about the directories right below the base.
struct Seen {
    base: String,
    /// The newest name below the base, with its slash where it is a directory.
    name: String,
    names: usize,
    objects: usize,
    /// Objects before those of the newest name.
    before: usize,
}

impl Seen {
    fn new(base: String) -> Self {
        Self { base, name: String::new(), names: 0, objects: 0, before: 0 }
    }

    fn add(&mut self, key: &str, before: usize) {
        let relative = key.strip_prefix(self.base.as_str()).unwrap_or_default();
        let name = relative.find('/').map_or(relative, |slash| &relative[..=slash]);
        self.objects += 1;
        if self.name != name {
            name.clone_into(&mut self.name);
            self.names += 1;
            self.before = before;
        }
    }

    /// The directory that the listing has come to, where it is worth while to list it and those behind it side by side.
    fn directory(&self) -> Option<String> {
        let worth = self.name.ends_with('/') && self.objects >= self.names * LEAST_IN_DIRECTORY;
        worth.then(|| format!("{}{}", self.base, self.name))
    }
}

fn missing(uri: &Uri, text: &str, selected: &str) -> StoreError {
    let absent = uri.scheme.is_local()
        && !text.contains('*')
        && matches!(s3dlio_store::local::metadata(&uri.key), Err(StoreError::NotFound { .. }));
    let detail = if absent {
        "Path does not exist".to_owned()
    } else {
        format!("the data set is empty: no object below this prefix{selected}")
    };
    StoreError::NotFound { uri: text.to_owned(), detail }
}
