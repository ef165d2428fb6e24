//! Detection of other logs in the lake that have already pulled the same data: a renamed job would land all of it
//! again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::error::RunError;
use super::job::{Job, RunMode};
use crate::clock::real_now;
use crate::lake::{self, Commit, LakeError, Origin};
use crate::model::{Range, Timestamp};
use crate::providers::Stream;
use crate::text;

/// The number of logs that are read concurrently.
const AT_A_TIME: usize = 16;
/// The number of hexadecimal digits in the hash of a stream's filters.
const FILTERS_HASH: usize = 8;

/// The attributes that distinguish a job's account, and the logs of its own configuration from others.
#[derive(Debug, Clone, Default)]
pub struct Neighbours {
    /// The host of the provider's API.
    pub host: Option<String>,
    /// A hash of the signed-in client or user, or of the named account.
    pub user: Option<String>,
    /// The logs of all jobs of the configuration. No two of these jobs pull the same stream, as `validate` has checked.
    pub logs: Arc<BTreeMap<String, Origin>>,
}

/// The streams of another log that would land a second time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The other log.
    pub log: String,
    /// Its streams.
    pub streams: Vec<String>,
    /// The end of its coverage of these streams; `None` while a run is pulling them.
    pub until: Option<Timestamp>,
    /// Whether another job of the configuration has that log.
    pub is_configured: bool,
}

impl Overlap {
    /// Returns the advice.
    pub(super) fn to_do(&self, job: &str) -> String {
        let log = &self.log;
        let way = if self.is_configured {
            format!("leave the stream to the job that has the log `{log}`")
        } else {
            format!("set `log: {log}` in job `{job}` to continue that log")
        };
        match self.until {
            Some(until) => format!("{way}, or a `start` of {} or later", text::time(until)),
            None => way,
        }
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            log,
            streams,
            until,
            ..
        } = self;
        let streams = match streams.as_slice() {
            [] => "the same account".to_owned(),
            [one] => format!("stream `{one}` of the same account"),
            [first, others @ ..] => {
                let others = text::counted(others.len() as u64, "other stream");
                format!("stream `{first}` and {others} of the same account")
            }
        };
        match until {
            None => write!(f, "a run is pulling {streams} into the log `{log}` now"),
            Some(until) => write!(
                f,
                "the log `{log}` has pulled {streams}, up to {}",
                text::time(*until)
            ),
        }
    }
}

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

/// Returns whether two logs belong to the same account. If the account's own id is unknown, its name in the
/// configuration decides, at the same host or on a connection of the same name.
pub(super) fn is_same_account(one: &Origin, other: &Origin) -> bool {
    if let (Some(one), Some(other)) = (&one.provider, &other.provider)
        && one != other
    {
        return false;
    }
    let is_same_name = one.connection == other.connection;
    let is_same_id = one.account_id == other.account_id;
    let (one, other) = ((&one.host, &one.user), (&other.host, &other.user));
    let ((Some(_), Some(_)), (Some(_), Some(_))) = (one, other) else {
        return is_same_name || is_same_id; // one of them was written by an earlier version
    };
    one == other || is_same_id && (is_same_name || one.0 == other.0)
}

/// Returns the account's name in the configuration.
pub(super) fn account(of: &Origin) -> String {
    let provider = of.provider.as_deref().unwrap_or("a provider");
    let (connection, account) = (&of.connection, &of.account_id);
    format!("{provider}, connection `{connection}`, account `{account}`")
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

    fn origin(keys: [&str; 4]) -> Origin {
        let [connection, account_id, host, user] = keys;
        let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Origin {
            provider: Some("genesys_cloud".to_owned()),
            connection: connection.to_owned(),
            account_id: account_id.to_owned(),
            wording: None,
            host: known(host),
            user: known(user),
            from: None,
        }
    }

    #[test]
    fn accounts_are_told_apart() {
        let ours = origin(["main", "main", "h", "u"]);
        for (other, is_same) in [
            (["main", "main", "h", "u"], true),
            (["other", "other", "h", "u"], true), // a renamed connection
            (["main", "acme", "h", "u"], true),   // another `account_id`
            (["main", "main", "h", "u2"], true),  // another client
            (["main", "main", "h2", "u"], true),  // another address
            (["other", "main", "h2", "u"], false),
            (["main", "acme", "h", "u2"], false), // the way out
            (["other", "other", "h", "u2"], false),
            (["other", "other", "h2", "u"], false),
            // written by an earlier version
            (["main", "main", "", ""], true),
            (["other", "main", "", ""], true),
            (["other", "other", "", ""], false),
        ] {
            let other = origin(other);
            assert_eq!(is_same_account(&ours, &other), is_same, "{other:?}");
            assert_eq!(is_same_account(&other, &ours), is_same, "{other:?}");
        }
        let provider = Some("everyware_cloud".to_owned());
        let other = Origin {
            provider,
            ..ours.clone()
        };
        assert!(!is_same_account(&ours, &other));
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
