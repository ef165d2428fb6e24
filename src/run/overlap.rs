//! Whether another log of the lake has pulled what a job is about to pull: a renamed job would land all of it again.

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

/// How many logs are read at a time.
const AT_A_TIME: usize = 16;
/// How many hexadecimal digits the hash of a stream's filters has.
const FILTERS_HASH: usize = 8;

/// What tells the account of a job from others, and the job's own configuration from logs of other origin.
#[derive(Debug, Clone, Default)]
pub struct Neighbours {
    /// Where the provider's API is.
    pub host: Option<String>,
    /// A hash of who signs in there, or of the account that is named.
    pub user: Option<String>,
    /// The logs of all jobs of the configuration. It was checked that no two of these jobs pull the same stream.
    pub logs: Arc<BTreeMap<String, Origin>>,
}

/// A stream of another log that would be landed a second time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The other log.
    pub log: String,
    /// The streams of it.
    pub streams: Vec<String>,
    /// Where what it has pulled of them ends; none while a run is at it.
    pub until: Option<Timestamp>,
    /// Whether another job of the configuration has that log.
    pub is_configured: bool,
}

impl Overlap {
    /// What to do about it.
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

/// An error if another log of the lake has pulled, or is pulling, what the job is about to pull for the first time; or if
/// the job's own log is another account's.
///
/// Makes no request unless there is such a thing: a stream that the job's own log doesn't know, or ranges before the
/// first that it was checked for. `newest` is that log's newest commit. Without `streams`, only the provider knows them,
/// and any may be among them.
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
    // in a box: a run hardly ever needs the room
    match Box::pin(find(job, &wanted)).await? {
        Some(overlap) => Err(RunError::Overlap {
            job: job.name.clone(),
            to_do: overlap.to_do(&job.name),
            overlap: Box::new(overlap),
        }),
        None => Ok(()),
    }
}

/// The first instant that the job may pull.
pub(super) fn first_of(job: &Job, mode: &RunMode) -> Timestamp {
    match mode {
        RunMode::Due => job.policy.start,
        RunMode::Backfill { range, .. } => job.policy.start.min(range.from()),
    }
}

/// By stream, the ranges that a log has never been checked for. The stream `None` is any stream.
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
        // a log of an earlier version doesn't say, and is taken to have been checked
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

    /// The ranges that are wanted of what is `theirs`, a stream of another log.
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

/// What `newest`, the newest commit of another log of the same account, has of what is wanted.
fn overlap(
    log: String,
    newest: &Commit,
    wanted: &UncheckedRanges,
    is_configured: bool,
) -> Option<Overlap> {
    // jobs of one configuration have different filters, if they have a feed in common
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

/// Whether two jobs pull the same account. An account's own id isn't always known: then what the configuration calls it
/// counts, at one host or on a connection of one name.
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
        return is_same_name || is_same_id; // one of them is of an earlier version
    };
    one == other || is_same_id && (is_same_name || one.0 == other.0)
}

/// What the configuration calls an account.
pub(super) fn account(of: &Origin) -> String {
    let provider = of.provider.as_deref().unwrap_or("a provider");
    let (connection, account) = (&of.connection, &of.account_id);
    format!("{provider}, connection `{connection}`, account `{account}`")
}

/// Whether two streams are of the same feed, whatever their filters.
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
            // of an earlier version
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
        // of an earlier version
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
