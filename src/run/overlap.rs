//! Detection of other logs in the lake that have already pulled the same data: a renamed job would land all of it
//! again.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::account::is_same_account;
use super::error::{Overlap, RunError};
use super::job::{Job, RunMode};
use crate::clock::real_now;
use crate::lake::{self, Commit, LakeError};
use crate::model::{Range, Timestamp};
use crate::providers::Stream;

/// The number of logs that are read concurrently.
const AT_A_TIME: usize = 16;
/// The number of hexadecimal digits in the hash of a stream's filters.
const FILTERS_HASH: usize = 8;

/// Fails if another log of the lake has pulled, or is pulling, the data that the job is about to pull for the first
/// time; or if the job's own log belongs to another account.
///
/// Makes no request unless the job has a stream that its own log doesn't contain, or ranges before the first that was
/// checked. `newest` is that log's newest commit. Without `streams`, which then only the provider can list, any stream
/// is possible.
pub async fn refuse_overlap(
    job: &Job,
    newest: Option<&Commit>,
    streams: &[Stream],
    mode: &RunMode,
) -> Result<(), RunError> {
    if let Some(newest) = newest {
        job.refuse_if_moved(newest)?;
    }
    let wanted = UncheckedRanges::of(newest, streams, first_of(job, mode));
    if wanted.is_empty() {
        return Ok(());
    }
    // boxed, because a run rarely needs it
    match Box::pin(find(job, &wanted)).await? {
        Some(overlap) => Err(RunError::Overlap {
            job: job.name.clone(),
            to_do: overlap.to_do(&job.name),
            overlap: Box::new(overlap),
        }),
        None => Ok(()),
    }
}

/// Returns the first instant that the job may pull.
pub(super) fn first_of(job: &Job, mode: &RunMode) -> Timestamp {
    match mode {
        RunMode::Due => job.policy.start,
        RunMode::Backfill { range, .. } => job.policy.start.min(range.from()),
    }
}

/// The ranges for which a log has never been checked, by stream. The stream `None` is any stream.
#[derive(Debug, PartialEq, Eq)]
struct UncheckedRanges(BTreeMap<Option<String>, Range>);

impl UncheckedRanges {
    fn of(newest: Option<&Commit>, streams: &[Stream], from: Timestamp) -> Self {
        let progress = newest.map(|newest| &newest.progress);
        let is_new = progress.is_none_or(BTreeMap::is_empty);
        let ever = Range::new(from, Timestamp::MAX_UTC);
        if streams.is_empty() {
            let any = ever.filter(|_| is_new).map(|ever| (None, ever));
            return Self(any.into_iter().collect());
        }
        // a log of an earlier version has no such mark and counts as checked
        let checked_from = newest.and_then(|newest| newest.origin.as_ref()?.from);
        let before = Range::new(from, checked_from.unwrap_or(from));
        let wanted = streams.iter().filter_map(|stream| {
            let is_known = progress.is_some_and(|progress| progress.contains_key(&stream.id));
            let range = if is_known { before } else { ever }?;
            Some((Some(stream.id.clone()), range))
        });
        Self(wanted.collect())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the wanted ranges of `theirs`, a stream of another log.
    fn ranges<'a>(
        &'a self,
        theirs: &'a str,
        is_same: fn(&str, &str) -> bool,
    ) -> impl Iterator<Item = Range> + 'a {
        let matching = self
            .0
            .iter()
            .filter(move |(ours, _)| ours.as_ref().is_none_or(|ours| is_same(ours, theirs)));
        matching.map(|(_, range)| *range)
    }
}

async fn find(job: &Job, wanted: &UncheckedRanges) -> Result<Option<Overlap>, LakeError> {
    let ours = job.origin();
    let is_ours = |log: &str| {
        let configured = job.neighbours.logs.get(log);
        log != job.log && configured.is_none_or(|theirs| is_same_account(&ours, theirs))
    };
    let mut logs = lake::jobs(&job.lake).await?;
    logs.retain(|log| is_ours(log));
    let found: Vec<Option<Overlap>> = stream::iter(logs)
        .map(|log| async {
            let newest = lake::newest(&job.lake, &log).await?;
            let newest = newest.filter(|newest| {
                let theirs = newest.origin.as_ref();
                theirs.is_some_and(|theirs| is_same_account(&ours, theirs))
            });
            let is_configured = job.neighbours.logs.contains_key(&log);
            Ok(newest.and_then(|newest| overlap(log, &newest, wanted, is_configured)))
        })
        .buffered(AT_A_TIME)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().next())
}

/// Returns the wanted streams that `newest`, the newest commit of another log of the same account, has pulled.
fn overlap(
    log: String,
    newest: &Commit,
    wanted: &UncheckedRanges,
    is_configured: bool,
) -> Option<Overlap> {
    // jobs of one configuration that share a feed have different filters
    let is_same = if is_configured {
        |a: &str, b: &str| a == b
    } else {
        is_same_feed
    };
    let is_at_it = newest
        .claim
        .as_ref()
        .is_some_and(|claim| claim.is_live(real_now()));
    if is_at_it && !is_configured {
        let all: Vec<&String> = newest
            .streams
            .iter()
            .filter(|theirs| wanted.ranges(theirs, is_same).next().is_some())
            .collect();
        if newest.streams.is_empty() || !all.is_empty() {
            return Some(Overlap {
                log,
                streams: all.into_iter().cloned().collect(),
                until: None,
                is_configured,
            });
        }
    }
    let mut streams = Vec::new();
    let mut until = None;
    for (theirs, progress) in &newest.progress {
        let mut pulled = progress.coverage.clone();
        progress
            .open
            .iter()
            .for_each(|open| pulled.insert(open.range));
        if wanted
            .ranges(theirs, is_same)
            .any(|range| !pulled.within(range).is_empty())
        {
            streams.push(theirs.clone());
            until = until.max(pulled.iter().next_back().map(|last| last.to()));
        }
    }
    (!streams.is_empty()).then_some(Overlap {
        log,
        streams,
        until,
        is_configured,
    })
}

/// Returns whether two streams belong to the same feed, with any filters.
fn is_same_feed(one: &str, other: &str) -> bool {
    let feed = |stream: &str| {
        let (feed, hash) = stream.rsplit_once('#')?;
        let is_hash =
            hash.len() == FILTERS_HASH && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| feed.to_owned())
    };
    let feed = |stream: &str| feed(stream).unwrap_or_else(|| stream.to_owned());
    feed(one) == feed(other)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::lake::Origin;

    fn origin(keys: [&str; 4]) -> Origin {
        let [connection, account_id, host, user] = keys;
        let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Origin {
            provider: Some("genesys_cloud".to_owned()),
            connection: connection.to_owned(),
            account_id: account_id.to_owned(),
            id_basis: None,
            host: known(host),
            user: known(user),
            from: None,
        }
    }

    #[test]
    fn feeds_are_compared_without_their_filters() {
        assert!(is_same_feed("audit", "audit#0123abcd"));
        assert!(is_same_feed("audit#ffffffff", "audit#0123abcd"));
        assert!(!is_same_feed("a#b", "a"));
        assert!(!is_same_feed("Routing", "Quality"));
    }

    #[test]
    fn a_log_is_held_against_others_once() {
        let (start, now): (Timestamp, Timestamp) = (
            "2026-03-02T00:00:00Z".parse().unwrap(),
            "2026-03-03T00:00:00Z".parse().unwrap(),
        );
        let stream = |id: &str| Stream::new(id);
        let of = |newest: &Commit, streams: &[Stream], from| {
            UncheckedRanges::of(Some(newest), streams, from).0
        };
        let ever = Range::new(start, Timestamp::MAX_UTC).unwrap();
        let mut newest: Commit = serde_json::from_value(serde_json::json!({
            "format": 1, "version": 1, "id": uuid::Uuid::nil(), "run": uuid::Uuid::nil(), "job": "j", "kind": "claim",
            "at": now, "claim": null, "published_through": 0, "planned_at": null, "streams": [], "pulled": [], "files": [],
            "progress": {}
        })).unwrap();
        assert_eq!(of(&newest, &[], start), BTreeMap::from([(None, ever)]));
        assert_eq!(
            of(&newest, &[stream("a")], start),
            BTreeMap::from([(Some("a".to_owned()), ever)])
        );
        newest
            .progress
            .insert("a".to_owned(), lake::Progress::default());
        // written by an earlier version
        assert!(of(&newest, &[stream("a")], start).is_empty());
        newest.origin = Some(Origin {
            from: Some(start),
            ..origin(["main", "main", "h", "u"])
        });
        assert!(of(&newest, &[], start).is_empty());
        assert!(of(&newest, &[stream("a")], start).is_empty());
        assert!(of(&newest, &[stream("a")], now).is_empty());
        assert_eq!(
            of(&newest, &[stream("a"), stream("b")], start),
            BTreeMap::from([(Some("b".to_owned()), ever)])
        );
        newest.origin.as_mut().unwrap().from = Some(now);
        assert_eq!(
            of(&newest, &[stream("a")], start),
            BTreeMap::from([(Some("a".to_owned()), Range::new(start, now).unwrap())])
        );
    }
}
