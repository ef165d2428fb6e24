//! What can go wrong with a lake.

use object_store::path::Path;

use super::answer::StoreAnswer;
use super::options::StoreKind;
use crate::model::{FailureKind, Timestamp};
use crate::telemetry::causes;

/// A failure of the lake, with the key it happened at.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The store refused or failed.
    #[error("can't {action} `{key}` in the lake")]
    Store {
        /// The verb: read, list, write, copy, delete.
        action: &'static str,
        /// The object or prefix.
        key: String,
        /// The store's own words.
        source: object_store::Error,
    },
    /// The lake's URL or its options are not usable.
    #[error("the lake `{url}` can't be opened: {reason}")]
    Url {
        /// As configured.
        url: String,
        /// What is wrong and what would work.
        reason: String,
    },
    /// The store ignores `If-None-Match: *`.
    #[error(
        "the store behind `{url}` overwrites an object that it was told to create only if absent, so nothing can be \
         landed exactly once there; use a store with conditional writes (for S3-compatible stores: `If-None-Match` on \
         PutObject)"
    )]
    NoConditionalCreate {
        /// The lake.
        url: String,
    },
    /// The store takes names that differ by case only for one.
    #[error(
        "the store behind `{url}` takes names that differ by case only for one, so that accounts `A` and `a` would share a \
         folder, and jobs a log; use object storage, or a disk that tells cases apart"
    )]
    FoldsCase {
        /// The lake.
        url: String,
    },
    /// The store answers, but not as a lake needs it.
    #[error("the store doesn't do what a lake needs, seen at `{key}`: {reason}; use another store")]
    Unproven {
        /// The object or prefix.
        key: String,
        /// What it does.
        reason: String,
    },
    /// The lake was laid out in another way than the configuration says.
    #[error(
        "the lake `{url}` is partitioned by [{have}], jobs.yaml says [{want}]: set `partition_by` back, or give the new \
         layout a new lake `url` and pull again"
    )]
    OtherLayout {
        /// The lake.
        url: String,
        /// How the lake is laid out.
        have: String,
        /// What the configuration asks for.
        want: String,
    },
    /// Invented events don't belong among real ones.
    #[error("{}", match .is_demo {
        true => format!("the lake `{url}` is that of a `demo`, and its events are invented: give these jobs another lake `url`"),
        false => format!("the lake `{url}` is not one of a `demo`: give the demo a folder of its own"),
    })]
    Demo {
        /// The lake.
        url: String,
        /// Whether its events are the invented ones.
        is_demo: bool,
    },
    /// An object was written by a newer version.
    #[error(
        "`{key}` has format {found}, this auditlake reads up to {known}: use a newer auditlake"
    )]
    NewerFormat {
        /// The object.
        key: String,
        /// Its format.
        found: u64,
        /// The newest that this version reads.
        known: u32,
    },
    /// An object of ours isn't what it should be. Nothing is guessed.
    #[error("`{key}` is not what auditlake writes there: {reason}; move it away to go on")]
    Unreadable {
        /// The object.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another run's commit is newer than ours: it owns the job now, and publishes what we committed.
    #[error("another run took the job over (commit {version}); this run stops")]
    TakenOver {
        /// The rival's commit.
        version: u64,
    },
    /// This run's claim ran out on its own clock before it could commit.
    #[error(
        "this run's claim expired at {at} before it could commit; the next run pulls the rest again"
    )]
    ClaimExpired {
        /// When.
        at: Timestamp,
        /// What the store said when it was tried.
        source: Option<Box<LakeError>>,
    },
    /// The folder that the lake lies in isn't what it was when it was opened: removed, or its disk unmounted.
    #[error(
        "the lake `{url}` is gone: its folder was removed or its disk unmounted while it was in use; a log that began \
         anew there would count as pulled what isn't there"
    )]
    Gone {
        /// The lake.
        url: String,
    },
    /// A commit was sent, and it can't be told whether it arrived.
    #[error(
        "commit {version} got no clear answer after {attempts} attempts; the next run finds out"
    )]
    NoAnswer {
        /// The commit.
        version: u64,
        /// How often it was tried.
        attempts: u32,
        /// The last failure.
        source: Box<LakeError>,
    },
    /// A committed file is neither staged nor published.
    #[error(
        "the committed file `{staged}` is gone and was never published as `{key}`: the store lost it, or something other \
         than auditlake deleted it; the next run pulls its ranges again"
    )]
    FileVanished {
        /// Where it was staged.
        staged: String,
        /// Where it belongs.
        key: String,
    },
    /// A committed file isn't whole, and there is no whole one to copy.
    #[error(
        "the committed file `{key}` has {found} bytes instead of {bytes}, and no whole copy of it is staged: the store \
         lost a part of it, or something other than auditlake changed it; the next run pulls its ranges again"
    )]
    FileDamaged {
        /// Where it belongs.
        key: String,
        /// The size that its commit says.
        bytes: u64,
        /// The size that it has.
        found: u64,
    },
    /// The store says that it copied a file, and it didn't.
    #[error(
        "the store answered that it copied `{staged}` to `{key}`, but that {found}; the staged file is \
         kept, and the next run copies it again"
    )]
    NotCopied {
        /// Where it is staged.
        staged: String,
        /// Where it belongs.
        key: String,
        /// What is there, as the verb of the sentence.
        found: String,
    },
    /// The store says that it wrote an object, and it didn't, or not all of it.
    #[error(
        "the store answered that it wrote `{key}`, but that isn't there, or isn't whole; it is tried again"
    )]
    NotWritten {
        /// The object.
        key: String,
    },
    /// The store says that it deleted an object, and it didn't.
    #[error(
        "the store answered that it deleted `{key}`, but that is still there; it is tried again"
    )]
    NotDeleted {
        /// The object.
        key: String,
    },
    /// The store lets several creators of one object succeed.
    #[error(
        "the store behind `{url}` told {winners} of {creators} creators of one object at the same time that each of them \
         created it, so nothing can be landed exactly once there: it looks and writes in two steps; use a store whose \
         conditional writes (`If-None-Match` on PUT) are atomic"
    )]
    RacyCreate {
        /// The lake.
        url: String,
        /// How many were told so.
        winners: usize,
        /// How many there were.
        creators: usize,
    },
}

impl LakeError {
    /// For `map_err` at a store call.
    pub(crate) fn at<'a>(
        action: &'static str,
        key: &'a Path,
    ) -> impl FnOnce(object_store::Error) -> Self + 'a {
        move |source| Self::Store {
            action,
            key: key.to_string(),
            source,
        }
    }

    /// Whether it says itself what to do.
    pub fn has_advice(&self) -> bool {
        let Self::Store { source, .. } = self else {
            return true;
        };
        answer_in(source).is_some_and(|answer| answer.verdict.advice.is_some())
    }

    /// What it means for the scheduler.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Store { source, .. } => kind_of(source),
            Self::Url { .. }
            | Self::FoldsCase { .. }
            | Self::NoConditionalCreate { .. }
            | Self::RacyCreate { .. }
            | Self::Unproven { .. }
            | Self::NewerFormat { .. }
            | Self::OtherLayout { .. }
            | Self::Demo { .. } => FailureKind::Config,
            Self::Gone { .. }
            | Self::NoAnswer { .. }
            | Self::NotCopied { .. }
            | Self::NotWritten { .. }
            | Self::NotDeleted { .. } => FailureKind::Transient,
            Self::TakenOver { .. } | Self::ClaimExpired { .. } => FailureKind::Conflict,
            Self::Unreadable { .. } | Self::FileVanished { .. } | Self::FileDamaged { .. } => {
                FailureKind::Data
            }
        }
    }
}

/// The answer that an error holds, if a store of ours made it.
pub(super) fn answer_in(error: &object_store::Error) -> Option<&StoreAnswer> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// What a store's failure means. Stores of this module say it themselves; of others, the kind of the error and what the
/// disk says count.
fn kind_of(error: &object_store::Error) -> FailureKind {
    use object_store::Error as Store;
    if let Some(answer) = answer_in(error) {
        return match error {
            Store::NotSupported { .. } => FailureKind::Config,
            Store::PermissionDenied { .. } | Store::Unauthenticated { .. }
                if answer.verdict.kind == FailureKind::Transient =>
            {
                FailureKind::Auth
            }
            _ => answer.verdict.kind,
        };
    }
    match error {
        Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => FailureKind::Auth,
        Store::NotSupported { .. } | Store::NotImplemented { .. } => FailureKind::Config,
        _ => {
            StoreAnswer::of(StoreKind::Folder, error, String::new())
                .verdict
                .kind
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use std::io;

    use super::*;

    fn kind(source: impl Into<Box<dyn Error + Send + Sync>>) -> FailureKind {
        let source = object_store::Error::Generic {
            store: "S3",
            source: source.into(),
        };
        LakeError::at("list", &Path::from("x"))(source).kind()
    }

    #[test]
    fn what_is_not_permitted_is_told_from_what_fails() {
        assert_eq!(
            kind("Server returned non-2xx status code: 403 Forbidden: AccessDenied"),
            FailureKind::Auth
        );
        assert_eq!(
            kind("DeleteObjects request failed for key x: Access Denied (code: AccessDenied)"),
            FailureKind::Auth
        );
        assert_eq!(
            kind(io::Error::from(io::ErrorKind::ReadOnlyFilesystem)),
            FailureKind::Auth
        );
        assert_eq!(
            kind(io::Error::from(io::ErrorKind::PermissionDenied)),
            FailureKind::Auth
        );
        assert_eq!(
            kind(io::Error::from(io::ErrorKind::StorageFull)),
            FailureKind::Transient
        );
        assert_eq!(
            kind("Server returned non-2xx status code: 503 Service Unavailable"),
            FailureKind::Transient
        );
    }
}
