//! Probes of the store operations that a lake needs, on temporary objects.
//!
//! Probes neither need nor create the lake's layout.

use chrono::TimeDelta;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use uuid::Uuid;

use super::error::LakeError;
use super::open::Lake;
use super::publish::delete;
use crate::clock::real_now;
use crate::model::Timestamp;

/// A probe and its outcome.
#[derive(Debug)]
pub struct ProbeResult {
    /// The probe.
    pub probe: StoreProbe,
    /// The outcome.
    pub outcome: ProbeOutcome,
}

/// A probe of a store operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreProbe {
    /// Reads the layout file, if there is one.
    Layout,
    /// Writes an object and reads it back.
    Write,
    /// Creates an object if absent, twice: the second attempt has to be refused without changing anything. Of several
    /// concurrent creators, exactly one has to win.
    ConditionalCreate,
    /// Ensures that an object isn't found under the same name in capitals.
    Case,
    /// Ensures that a listing shows exactly the written objects.
    List,
    /// Copies an object on the store's side and compares the copy.
    Copy,
    /// Deletes all objects and ensures that they are gone.
    Delete,
}

impl StoreProbe {
    /// Returns the probe's description.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Layout => "layout",
            Self::Write => "write",
            Self::ConditionalCreate => "conditional create",
            Self::Case => "case of names",
            Self::List => "list",
            Self::Copy => "copy",
            Self::Delete => "delete",
        }
    }
}

/// The outcome of a probe.
#[derive(Debug)]
pub enum ProbeOutcome {
    /// It works, with a description.
    Works(String),
    /// It fails.
    Fails(LakeError),
    /// It wasn't tried, as a probe that it needs has failed.
    Untried(&'static str),
}

/// The difference of clocks above which it is reported. Stores return whole seconds, and answers take time.
const SKEW: TimeDelta = TimeDelta::minutes(1);

/// The number of creators that race for a key.
const CREATORS: usize = 4;
/// The number of races in `check`: the first one opens the connections that the others use.
const RACES: usize = 3;

/// The objects of one probe.
struct ProbeObjects {
    folder: Path,
    written: Path,
    created: Path,
    copied: Path,
    raced: [Path; RACES],
}

/// Runs all probes. After a failure, the others are still tried as far as possible, and the temporary objects are
/// deleted.
pub async fn probe(lake: &Lake, partition_by: &[String]) -> Vec<ProbeResult> {
    let folder = lake.layout.probe(Uuid::now_v7());
    let objects = ProbeObjects {
        written: folder.clone().join("written"),
        created: folder.clone().join("created"),
        copied: folder.clone().join("copied"),
        raced: std::array::from_fn(|n| folder.clone().join(format!("raced-{n}"))),
        folder,
    };
    let layout = layout(lake, partition_by).await;
    let written = write(lake, &objects.written).await;
    let created = create(lake, &objects.created, &objects.raced).await;
    let there: Vec<&Path> = [
        written.is_ok().then_some(&objects.written),
        created.is_ok().then_some(&objects.created),
    ]
    .into_iter()
    .flatten()
    .collect();
    let cased = match there.first() {
        Some(_) => Some(case(lake, &objects.folder, &there).await),
        None => None,
    };
    let listed = match (list(lake, &objects.folder, &there).await, there.is_empty()) {
        (Ok(_), true) => None, // an empty listing shows nothing
        (listed, _) => Some(listed),
    };
    let copied = match there.first() {
        Some(from) => Some(copy(lake, from, &objects.copied).await),
        None => None,
    };
    let deleted = delete_all(lake, &objects).await;
    let deleted = match deleted {
        Ok(_) if there.is_empty() => None, // deleting nothing always works
        deleted => Some(deleted),
    };
    let untried = "nothing could be written";
    [
        (StoreProbe::Layout, Some(layout)),
        (StoreProbe::Write, Some(written)),
        (StoreProbe::ConditionalCreate, Some(created)),
        (StoreProbe::Case, cased),
        (StoreProbe::List, listed),
        (StoreProbe::Copy, copied),
        (StoreProbe::Delete, deleted),
    ]
    .into_iter()
    .map(|(probe, result)| ProbeResult {
        probe,
        outcome: match result {
            Some(Ok(done)) => ProbeOutcome::Works(done),
            Some(Err(error)) => ProbeOutcome::Fails(error),
            None => ProbeOutcome::Untried(untried),
        },
    })
    .collect()
}

async fn layout(lake: &Lake, partition_by: &[String]) -> Result<String, LakeError> {
    Ok(if lake.is_laid_out(partition_by).await? {
        format!("partitioned by [{}]", partition_by.join(", "))
    } else {
        "no layout yet; the first run creates it".to_owned()
    })
}

async fn write(lake: &Lake, key: &Path) -> Result<String, LakeError> {
    let bytes = text(key, "written");
    let before = real_now();
    let put = lake.store.put(key, bytes.clone().into()).await;
    put.map_err(LakeError::at("write", key))?;
    let after = real_now();
    expect(
        lake,
        key,
        bytes.as_bytes(),
        "an object that was just written",
    )
    .await?;
    let meta = lake.store.head(key).await;
    let skew = meta.ok().and_then(|meta| skew(&meta, before, after));
    let skew = skew.map(|ahead| {
        let way = if ahead < TimeDelta::zero() {
            "behind"
        } else {
            "ahead of"
        };
        format!(
            "; the store's clock is {} s {way} this machine's: correct the wrong one, as claims depend on it",
            ahead.num_seconds().abs()
        )
    });
    Ok(format!(
        "an object was written and read back{}",
        skew.unwrap_or_default()
    ))
}

/// Returns by how much the store's clock is ahead, if the difference is relevant.
fn skew(meta: &ObjectMeta, before: Timestamp, after: Timestamp) -> Option<TimeDelta> {
    let message = meta.last_modified;
    let ahead = if message > after {
        message - after
    } else {
        (message - before).min(TimeDelta::zero())
    };
    (ahead.abs() > SKEW).then_some(ahead)
}

/// Lets several creators race for a key: exactly one may win. Sequential requests don't detect a store that
/// first checks and then writes.
async fn race(lake: &Lake, key: &Path) -> Result<(), LakeError> {
    let texts: [String; CREATORS] = std::array::from_fn(|n| text(key, &format!("creator {n}")));
    let creators = (texts.iter()).map(|text| lake.create(key, text.clone().into()));
    let ended = futures_util::future::join_all(creators).await;
    let there = lake.read(key).await?;
    let of = |text: &String| there.as_ref().is_some_and(|there| there == text);
    let won: Vec<&String> = (texts.iter().zip(&ended))
        .filter_map(|(text, ended)| matches!(ended, Ok(true)).then_some(text))
        .collect();
    match won[..] {
        [winner] if of(winner) => Ok(()),
        [_] => Err(unproven(
            key,
            "one of several creators of an object succeeded, but the object isn't what it wrote",
        )),
        // the winner's answer was lost: the store's client has tried again by itself
        [] if texts.iter().any(of) => Ok(()),
        [] => Err(
            (ended.into_iter().find_map(Result::err)).unwrap_or_else(|| {
                unproven(
                    key,
                    "the store refuses to create an object as if there were one, but there is none",
                )
            }),
        ),
        _ => Err(LakeError::RacyCreate {
            url: lake.url().to_owned(),
            winners: won.len(),
            creators: CREATORS,
        }),
    }
}

/// Runs one race for a lake that is about to be used. Leaves no object behind if the store can delete.
pub(super) async fn race_once(lake: &Lake) -> Result<(), LakeError> {
    let key = lake.layout.probe(Uuid::now_v7()).join("raced");
    let raced = race(lake, &key).await;
    if let Err(error) = delete(lake, vec![key]).await {
        tracing::debug!(%error, "an object of a probe is left");
    }
    raced
}

async fn create(lake: &Lake, key: &Path, raced: &[Path]) -> Result<String, LakeError> {
    let first = text(key, "first");
    if !lake.create(key, first.clone().into()).await? {
        // the name is new, so either the answer to the first attempt was lost, or the store refuses all conditional
        // requests
        let there = lake.read(key).await?;
        if there.is_none_or(|there| there != first) {
            return Err(unproven(
                key,
                "the store refuses to create an object as if there were one, but there is none",
            ));
        }
    }
    let second = text(key, "second");
    if lake.create(key, second.into()).await? {
        return Err(LakeError::NoConditionalCreate {
            url: lake.url().to_owned(),
        });
    }
    expect(
        lake,
        key,
        first.as_bytes(),
        "an object that a refused create left",
    )
    .await?;
    for key in raced {
        race(lake, key).await?;
    }
    Ok(format!(
        "an object was created once; a second create was refused and changed nothing; of {CREATORS} concurrent \
         creators one won, {RACES} times"
    ))
}

async fn case(lake: &Lake, folder: &Path, there: &[&Path]) -> Result<String, LakeError> {
    for key in there {
        let name = super::layout::name_in(folder, key).to_uppercase();
        if lake.read(&folder.clone().join(name)).await?.is_some() {
            return Err(LakeError::FoldsCase {
                url: lake.url().to_owned(),
            });
        }
    }
    Ok("names are case-sensitive".to_owned())
}

async fn list(lake: &Lake, folder: &Path, there: &[&Path]) -> Result<String, LakeError> {
    let found = keys(lake, folder).await?;
    if let Some(lacking) = there.iter().find(|key| !found.contains(key)) {
        return Err(unproven(
            folder,
            &format!("a listing doesn't show `{lacking}`, which was just written"),
        ));
    }
    Ok(match there.len() {
        1 => "a listing shows the object that was written",
        _ => "a listing shows both objects that were written",
    }
    .to_owned())
}

async fn copy(lake: &Lake, from: &Path, to: &Path) -> Result<String, LakeError> {
    let bytes = lake.read(from).await?.unwrap_or_default();
    let copied = lake.store.copy(from, to).await;
    copied.map_err(LakeError::at("copy", from))?;
    expect(lake, to, &bytes, "a copy").await?;
    Ok("an object was copied, and the copy is identical".to_owned())
}

/// Deletes all possible objects, as an answer may have been lost.
async fn delete_all(lake: &Lake, objects: &ProbeObjects) -> Result<String, LakeError> {
    let all = [&objects.written, &objects.created, &objects.copied];
    let all = all.into_iter().chain(&objects.raced);
    let mut failed = None;
    for key in all.clone() {
        if let Err(error) = delete(lake, vec![key.clone()]).await {
            failed = failed.or(Some(error));
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    for key in all {
        if lake.read(key).await?.is_some() {
            return Err(unproven(key, "it still exists after it was deleted"));
        }
    }
    Ok("all objects were deleted".to_owned())
}

async fn keys(lake: &Lake, folder: &Path) -> Result<Vec<Path>, LakeError> {
    lake.store
        .list(Some(folder))
        .map_ok(|meta| meta.location)
        .try_collect()
        .await
        .map_err(LakeError::at("list", folder))
}

async fn expect(lake: &Lake, key: &Path, bytes: &[u8], what: &str) -> Result<(), LakeError> {
    let why = match lake.read(key).await? {
        Some(read) if read == bytes => return Ok(()),
        Some(_) => "has different content",
        None => "can't be found",
    };
    Err(unproven(key, &format!("{what} {why}")))
}

/// Returns the content of an object, which is unique, so that mix-ups are detected.
fn text(key: &Path, what: &str) -> String {
    format!("{what} by `auditlake check` at {key}; may be deleted\n")
}

fn unproven(key: &Path, reason: &str) -> LakeError {
    LakeError::Unproven {
        key: key.to_string(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fmt;
    use std::sync::Arc;

    use async_trait::async_trait;
    use futures_util::StreamExt;
    use futures_util::stream::{self, BoxStream};
    use object_store::memory::InMemory;
    use object_store::{
        CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, PutMode,
        PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    };

    use super::*;

    /// A defect of a store.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum StoreFault {
        Nothing,
        /// It overwrites objects that should be created only if absent.
        IgnoresCondition,
        /// It always answers that the object exists.
        RefusesAllCreates,
        /// It refuses the second create, but overwrites the object.
        OverwritesAndRefuses,
        /// The answer to the first create is lost, and the store's client retries.
        LosesAnswerOfCreate,
        FoldsCase,
        /// It checks whether there is an object, and writes later.
        LooksThenWrites,
        HidesFromLists,
        CopiesNothing,
        CopiesOtherBytes,
        KeepsWhatIsDeleted,
        MayNotWrite,
        MayNotRead,
        MayNotList,
        MayNotCopy,
        MayNotDelete,
    }

    #[derive(Debug)]
    struct Odd {
        store: InMemory,
        wrong: StoreFault,
    }

    impl fmt::Display for Odd {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{:?}", self.wrong)
        }
    }

    impl Odd {
        fn may(&self, not: StoreFault, key: &Path) -> Result<()> {
            if self.wrong != not {
                return Ok(());
            }
            Err(Error::PermissionDenied {
                path: key.to_string(),
                source: "no".into(),
            })
        }
    }

    fn exists(key: &Path) -> Error {
        Error::AlreadyExists {
            path: key.to_string(),
            source: "it is there".into(),
        }
    }

    #[async_trait]
    impl ObjectStore for Odd {
        async fn put_opts(
            &self,
            key: &Path,
            payload: PutPayload,
            mut options: PutOptions,
        ) -> Result<PutResult> {
            self.may(StoreFault::MayNotWrite, key)?;
            let creates = options.mode == PutMode::Create;
            let is_there = self.store.head(key).await.is_ok();
            match self.wrong {
                StoreFault::IgnoresCondition => options.mode = PutMode::Overwrite,
                StoreFault::RefusesAllCreates if creates => return Err(exists(key)),
                StoreFault::LooksThenWrites if creates && !is_there => {
                    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
                    options.mode = PutMode::Overwrite;
                }
                StoreFault::OverwritesAndRefuses if creates && is_there => {
                    self.store.put(key, payload).await?;
                    return Err(exists(key));
                }
                StoreFault::LosesAnswerOfCreate if creates => {
                    let _: Result<PutResult> = self.store.put_opts(key, payload, options).await;
                    return Err(exists(key));
                }
                _ => {}
            }
            self.store.put_opts(key, payload, options).await
        }

        async fn put_multipart_opts(
            &self,
            key: &Path,
            options: PutMultipartOptions,
        ) -> Result<Box<dyn MultipartUpload>> {
            self.store.put_multipart_opts(key, options).await
        }

        async fn get_opts(&self, key: &Path, options: GetOptions) -> Result<GetResult> {
            self.may(StoreFault::MayNotRead, key)?;
            if self.wrong == StoreFault::FoldsCase {
                let folded = Path::from(key.as_ref().to_lowercase());
                return self.store.get_opts(&folded, options).await;
            }
            self.store.get_opts(key, options).await
        }

        fn delete_stream(
            &self,
            keys: BoxStream<'static, Result<Path>>,
        ) -> BoxStream<'static, Result<Path>> {
            match self.wrong {
                StoreFault::KeepsWhatIsDeleted => keys,
                StoreFault::MayNotDelete => stream::iter([Err(Error::PermissionDenied {
                    path: String::new(),
                    source: "no".into(),
                })])
                .boxed(),
                _ => self.store.delete_stream(keys),
            }
        }

        fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
            if let Err(error) = self.may(StoreFault::MayNotList, &Path::default()) {
                return stream::iter([Err(error)]).boxed();
            }
            match self.wrong {
                StoreFault::HidesFromLists => stream::empty().boxed(),
                _ => self.store.list(prefix),
            }
        }

        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
            self.store.list_with_delimiter(prefix).await
        }

        async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
            self.may(StoreFault::MayNotCopy, from)?;
            match self.wrong {
                StoreFault::CopiesNothing => Ok(()),
                StoreFault::CopiesOtherBytes => self.store.put(to, "other".into()).await.map(drop),
                _ => self.store.copy_opts(from, to, options).await,
            }
        }
    }

    /// Returns the failed probes, the untried ones, the first error, and the remaining objects.
    async fn probed(wrong: StoreFault) -> (String, String, usize) {
        let store = Arc::new(Odd {
            store: InMemory::new(),
            wrong,
        });
        let lake = Lake::in_store("memory:///", Arc::clone(&store) as _, Path::from("a/b"));
        let mut marks = Vec::new();
        let mut first = String::new();
        for probed in probe(&lake, &["event_date".to_owned()]).await {
            let name = probed.probe.as_str();
            match probed.outcome {
                ProbeOutcome::Works(_) => {}
                ProbeOutcome::Untried(_) => marks.push(format!("({name})")),
                ProbeOutcome::Fails(error) => {
                    marks.push(name.to_owned());
                    if first.is_empty() {
                        first = error.to_string();
                    }
                }
            }
        }
        let left: Vec<ObjectMeta> = store.store.list(None).try_collect().await.unwrap();
        (marks.join(" "), first, left.len())
    }

    #[tokio::test]
    async fn a_store_that_does_all_of_it_passes_and_is_left_empty() {
        assert_eq!(
            probed(StoreFault::Nothing).await,
            (String::new(), String::new(), 0)
        );
        // a create that the store's client sent twice is distinguished from a rival's
        assert_eq!(
            probed(StoreFault::LosesAnswerOfCreate).await,
            (String::new(), String::new(), 0)
        );
    }

    #[tokio::test]
    async fn a_store_that_ignores_the_condition_is_found_out() {
        let (marks, first, left) = probed(StoreFault::IgnoresCondition).await;
        assert_eq!((marks.as_str(), left), ("conditional create", 0));
        assert!(first.contains("create only if absent"), "{first}");
        let (marks, first, left) = probed(StoreFault::RefusesAllCreates).await;
        assert_eq!((marks.as_str(), left), ("conditional create", 0));
        assert!(first.contains("but there is none"), "{first}");
        let (marks, first, left) = probed(StoreFault::OverwritesAndRefuses).await;
        assert_eq!((marks.as_str(), left), ("conditional create", 0));
        assert!(first.contains("has different content"), "{first}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_looks_and_then_writes_is_found_out_by_a_race() {
        let (marks, first, left) = probed(StoreFault::LooksThenWrites).await;
        assert_eq!((marks.as_str(), left), ("conditional create", 0));
        assert!(
            first.contains("told 4 of 4 creators of one object"),
            "{first}"
        );
        // a run doesn't start with such a store either
        let store = Arc::new(Odd {
            store: InMemory::new(),
            wrong: StoreFault::LooksThenWrites,
        });
        let lake = Lake::in_store("memory:///", Arc::clone(&store) as _, Path::default());
        let error = lake.prepare(&["event_date".to_owned()]).await.unwrap_err();
        assert!(matches!(error, LakeError::RacyCreate { .. }), "{error}");
        assert_eq!(error.kind(), crate::model::FailureKind::Config);
        let left: Vec<ObjectMeta> = store.store.list(None).try_collect().await.unwrap();
        assert_eq!(left.len(), 1, "lake.json alone");
    }

    #[tokio::test]
    async fn whatever_fails_the_rest_is_tried_and_nothing_is_left() {
        for (wrong, marks, left) in [
            (StoreFault::FoldsCase, "case of names", 0),
            (StoreFault::HidesFromLists, "list", 0),
            (StoreFault::CopiesNothing, "copy", 0),
            (StoreFault::CopiesOtherBytes, "copy", 0),
            (StoreFault::MayNotList, "list", 0),
            (StoreFault::MayNotCopy, "copy", 0),
            (
                StoreFault::MayNotWrite,
                "write conditional create (case of names) (list) (copy) (delete)",
                0,
            ),
            (
                StoreFault::MayNotRead,
                "layout write conditional create (case of names) (list) (copy) delete",
                0,
            ),
            // objects that can't be deleted are reported
            (StoreFault::MayNotDelete, "delete", 6),
            (StoreFault::KeepsWhatIsDeleted, "delete", 6),
        ] {
            let (marked, _, remain) = probed(wrong).await;
            assert_eq!((marked.as_str(), remain), (marks, left), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn a_lake_is_neither_laid_out_nor_taken_for_one_of_another_layout() {
        let lake = Lake::in_store("memory:///", Arc::new(InMemory::new()), Path::default());
        let (day, month) = (["event_date".to_owned()], ["event_month".to_owned()]);
        let message = |probed: Vec<ProbeResult>| match probed.into_iter().next().unwrap().outcome {
            ProbeOutcome::Works(done) => done,
            ProbeOutcome::Fails(error) => error.to_string(),
            ProbeOutcome::Untried(why) => why.to_owned(),
        };
        assert!(
            message(probe(&lake, &day).await).starts_with("no layout yet"),
            "and not by the probe"
        );
        assert!(message(probe(&lake, &day).await).starts_with("no layout yet"));
        lake.prepare(&day).await.unwrap();
        assert_eq!(
            message(probe(&lake, &day).await),
            "partitioned by [event_date]"
        );
        assert!(
            message(probe(&lake, &month).await).contains("jobs.yaml says [event_month]"),
            "another layout"
        );
    }

    #[test]
    fn a_clock_that_is_off_by_more_than_a_minute_is_told() {
        let at = |seconds: i64| Timestamp::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        let ahead = |seconds| {
            let meta = ObjectMeta {
                location: Path::default(),
                last_modified: at(seconds),
                size: 0,
                e_tag: None,
                version: None,
            };
            skew(&meta, at(0), at(10)).map(|ahead| ahead.num_seconds())
        };
        assert_eq!([-60, 0, 5, 10, 70].map(ahead), [None; 5]);
        assert_eq!(ahead(71), Some(61));
        assert_eq!(ahead(-61), Some(-61));
    }
}
