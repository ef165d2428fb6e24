//! The failures of a lake.

use object_store::path::Path;

use super::answer::StoreAnswer;
use super::options::StoreKind;
use crate::model::{FailureKind, Timestamp};
use crate::telemetry::causes;

/// A failure of the lake, with the affected key.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The store refused or failed.
    #[error("can't {action} `{key}` in the lake")]
    Store {
        /// The verb: read, list, write, copy, delete.
        action: &'static str,
        /// The object or prefix.
        key: String,
        /// The store's error.
        source: object_store::Error,
    },
    /// The lake's URL or its options are not usable.
    #[error("the lake `{url}` can't be opened: {reason}")]
    Url {
        /// The URL as configured.
        url: String,
        /// The problem, and what would work.
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
    /// The store doesn't distinguish names by case.
    #[error(
        "the store behind `{url}` doesn't distinguish upper and lower case in names, so that accounts `A` and `a` \
         would share a folder, and jobs a log; use object storage, or a case-sensitive disk"
    )]
    FoldsCase {
        /// The lake.
        url: String,
    },
    /// The store's behaviour doesn't meet the lake's requirements.
    #[error("the store doesn't do what a lake needs, seen at `{key}`: {reason}; use another store")]
    Unproven {
        /// The object or prefix.
        key: String,
        /// The observed behaviour.
        reason: String,
    },
    /// The lake's layout differs from the configuration.
    #[error(
        "the lake `{url}` is partitioned by [{have}], jobs.yaml says [{want}]: set `partition_by` back, or give the new \
         layout a new lake `url` and pull again"
    )]
    OtherLayout {
        /// The lake.
        url: String,
        /// The lake's layout.
        have: String,
        /// The configured layout.
        want: String,
    },
    /// The demo's invented events and real events can't share a lake.
    #[error("{}", match .is_demo {
        true => format!("the lake `{url}` is that of a `demo`, and its events are invented: give these jobs another lake `url`"),
        false => format!("the lake `{url}` is not one of a `demo`: give the demo a folder of its own"),
    })]
    Demo {
        /// The lake.
        url: String,
        /// Whether the lake is the demo's.
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
    /// An object doesn't have the expected content.
    #[error("`{key}` is not what auditlake writes there: {reason}; move it away to continue")]
    Unreadable {
        /// The object.
        key: String,
        /// The problem.
        reason: String,
    },
    /// Another run's commit is newer: that run holds the job now, and publishes this run's commits.
    #[error("another run took the job over (commit {version}); this run stops")]
    TakenOver {
        /// The rival's commit.
        version: u64,
    },
    /// This run's claim expired by its own clock before it could commit.
    #[error(
        "this run's claim expired at {at} before it could commit; the next run pulls the rest again"
    )]
    ClaimExpired {
        /// When.
        at: Timestamp,
        /// The store's last error.
        source: Option<Box<LakeError>>,
    },
    /// The lake's folder was removed, or its disk unmounted, since the lake was opened.
    #[error(
        "the lake `{url}` is gone: its folder was removed or its disk unmounted while it was in use; a log that is \
         restarted there would count missing data as pulled"
    )]
    Gone {
        /// The lake.
        url: String,
    },
    /// A commit was sent, but it is unknown whether it was created.
    #[error(
        "commit {version} got no clear answer after {attempts} attempts; the next run determines the result"
    )]
    NoAnswer {
        /// The commit.
        version: u64,
        /// The number of attempts.
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
        /// The staged key.
        staged: String,
        /// The final key.
        key: String,
    },
    /// A committed file is incomplete, and no complete copy exists.
    #[error(
        "the committed file `{key}` has {found} bytes instead of {bytes}, and no complete copy of it is staged: the store \
         lost a part of it, or something other than auditlake changed it; the next run pulls its ranges again"
    )]
    FileDamaged {
        /// The final key.
        key: String,
        /// The committed size.
        bytes: u64,
        /// The actual size.
        found: u64,
    },
    /// The store confirmed a copy that doesn't exist.
    #[error(
        "the store answered that it copied `{staged}` to `{key}`, but that {found}; the staged file is \
         kept, and the next run copies it again"
    )]
    NotCopied {
        /// The staged key.
        staged: String,
        /// The final key.
        key: String,
        /// The state of the final key, as the predicate of the sentence.
        found: String,
    },
    /// The store confirmed a write that is missing or incomplete.
    #[error(
        "the store answered that it wrote `{key}`, but that isn't there, or isn't whole; it is tried again"
    )]
    NotWritten {
        /// The object.
        key: String,
    },
    /// The store confirmed a deletion of an object that still exists.
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
        /// The number of creators that succeeded.
        winners: usize,
        /// The number of creators.
        creators: usize,
    },
}

impl LakeError {
    /// Returns a function for `map_err` at a store call.
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

    /// Returns whether its message contains the advice.
    pub fn has_advice(&self) -> bool {
        let Self::Store { source, .. } = self else {
            return true;
        };
        answer_in(source).is_some_and(|answer| answer.verdict.advice.is_some())
    }

    /// Returns the kind of failure.
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

/// Returns the classified answer in an error of this module's stores.
pub(super) fn answer_in(error: &object_store::Error) -> Option<&StoreAnswer> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Classifies a store's failure. Errors of this module's stores are already classified; for others, the kind of the
/// error and the disk's error count.
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
