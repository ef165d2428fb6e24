//! Classification of store errors: whether a failure is transient, and advice for this kind of store.

use std::error::Error;
use std::fmt;
use std::io;

use super::credentials::NoCredentials;
use super::options::StoreKind;
use crate::model::FailureKind;
use crate::telemetry::causes;

/// The meaning of a refusal or a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoreVerdict {
    /// The kind of failure.
    pub(super) kind: FailureKind,
    /// The advice, if the store's own message doesn't contain it.
    pub(super) advice: Option<&'static str>,
}

const fn is(kind: FailureKind, advice: &'static str) -> StoreVerdict {
    StoreVerdict {
        kind,
        advice: Some(advice),
    }
}

const fn plainly(kind: FailureKind) -> StoreVerdict {
    StoreVerdict { kind, advice: None }
}

/// An answer that retries can't change, but whose request `object_store` would retry, or whose message it would drop.
#[derive(Debug)]
pub(super) struct FinalRefusal {
    pub(super) status: u16,
    pub(super) code: Option<String>,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) region: Option<String>,
    /// The host to which it redirects.
    pub(super) host: Option<String>,
}

impl fmt::Display for FinalRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store answered {} {}", self.status, self.reason)?;
        if let Some(region) = &self.region {
            write!(f, ": the bucket is in the region `{region}`")?;
        } else if let Some(host) = &self.host {
            write!(f, ": ask `{host}`")?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for FinalRefusal {}

/// A store's answer to a request, or the reason why there is none. Its text contains no secret.
#[derive(Debug)]
pub(super) struct StoreAnswer {
    message: String,
    /// The store's own code, such as `NoSuchBucket`.
    pub(super) code: Option<String>,
    /// The HTTP status, if there was an answer.
    pub(super) status: Option<u16>,
    pub(super) verdict: StoreVerdict,
}

impl StoreAnswer {
    /// Classifies `error` for this kind of store; `shown` is its redacted text.
    pub(super) fn of(store: StoreKind, error: &(dyn Error + 'static), shown: String) -> Self {
        let mut whole = String::new();
        let mut refused = None;
        for error in causes(error) {
            if error.is::<NoCredentials>() {
                return Self {
                    message: shown,
                    code: None,
                    status: None,
                    verdict: plainly(FailureKind::Auth), // its message lists where credentials were searched
                };
            }
            if let Some(found) = error.downcast_ref::<FinalRefusal>() {
                refused = Some((found.status, found.code.clone()));
            }
            if let Some(found) = error.downcast_ref::<io::Error>()
                && store == StoreKind::Folder
            {
                return Self {
                    message: shown,
                    code: None,
                    status: None,
                    verdict: of_disk(found),
                };
            }
            whole.push_str(&error.to_string());
            whole.push('\n');
        }
        let (status, code) = match refused {
            Some((status, code)) => (Some(status), code),
            None => (status_in(&whole), code_in(&whole)),
        };
        Self {
            verdict: classify(store, status, code.as_deref(), &whole),
            message: shown,
            code,
            status,
        }
    }

    /// Returns whether the bucket or container is missing, instead of an object.
    pub(super) fn lacks_bucket(&self) -> bool {
        matches!(
            self.code.as_deref(),
            Some("NoSuchBucket" | "ContainerNotFound")
        )
    }

    /// Returns whether an answer that was read as "the object exists" has another meaning.
    pub(super) fn is_other_conflict(&self) -> bool {
        self.status == Some(409)
            && self.code.as_deref().is_some_and(|code| {
                !code.contains("AlreadyExists") && !code.contains("Precondition")
            })
    }
}

impl fmt::Display for StoreAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.verdict.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl Error for StoreAnswer {}

const CREDENTIALS: StoreVerdict = is(
    FailureKind::Auth,
    "the store doesn't accept these credentials: check them, and that they are this store's",
);
const EXPIRED: StoreVerdict = is(
    FailureKind::Auth,
    "the credentials have expired: renew them",
);
const CLOCK: StoreVerdict = is(
    FailureKind::Auth,
    "this machine's clock and the store's are too far apart for a signature: set the one that is wrong",
);
const REGION: StoreVerdict = is(
    FailureKind::Config,
    "the bucket is at another region or endpoint: set `aws_region` and `aws_endpoint` in `storage_options`",
);
const TOO_LARGE: StoreVerdict = is(
    FailureKind::Config,
    "the store, or a proxy before it, doesn't take objects of this size: lower `target_file_size`, or raise its limit",
);
const IMMUTABLE: StoreVerdict = is(
    FailureKind::Config,
    "the store keeps objects from being deleted or replaced, and a lake deletes what it has staged: use a bucket or \
     container without such a policy",
);
const FULL: StoreVerdict = is(
    FailureKind::Transient,
    "the store is full: make room, or raise its quota",
);
const KMS_KEY: StoreVerdict = is(
    FailureKind::Config,
    "the key that encrypts the bucket can't be used: check that it exists, is enabled and is in the bucket's region",
);

/// Classifies an answer by the store's kind, the HTTP status, the store's code and its message. A table whose first
/// matching row applies.
pub(super) fn classify(
    store: StoreKind,
    status: Option<u16>,
    code: Option<&str>,
    message: &str,
) -> StoreVerdict {
    let says = |words: &str| message.contains(words);
    if let Some(verdict) = code.and_then(|code| of_code(store, code, message)) {
        return verdict;
    }
    let Some(status) = status else {
        return without_answer(message);
    };
    match status {
        _ if says("Object Lock") || says("object lock") => IMMUTABLE,
        401 => CREDENTIALS,
        403 if says("retention policy") || says("Retention policy") => IMMUTABLE,
        403 => plainly(FailureKind::Auth),
        407 => is(
            FailureKind::Config,
            "the proxy wants a user and a password: give them in the URL of the proxy",
        ),
        301 | 302 | 303 | 307 | 308 if store == StoreKind::S3 => REGION,
        300..=303 | 305..=399 => is(
            FailureKind::Config,
            "the store sends requests elsewhere, and no redirect is followed: set the endpoint that it names",
        ),
        404 => is(
            FailureKind::Config,
            "there is no such bucket or container, or nothing that stores objects at this endpoint: check the lake's `url` \
             and the endpoint",
        ),
        413 => TOO_LARGE,
        405 | 501 | 505 => NOT_IMPLEMENTED,
        507 => FULL,
        408 | 409 | 412 | 423 | 425 | 429 => plainly(FailureKind::Transient),
        400..=499 => plainly(FailureKind::Config),
        _ => plainly(FailureKind::Transient),
    }
}

const NOT_IMPLEMENTED: StoreVerdict = is(
    FailureKind::Config,
    "the store doesn't know a request that a lake needs; use a store with conditional writes (for S3-compatible stores: \
     `If-None-Match` on PutObject)",
);

#[expect(clippy::too_many_lines, reason = "a table")]
fn of_code(store: StoreKind, code: &str, message: &str) -> Option<StoreVerdict> {
    let says = |words: &str| message.contains(words);
    Some(match code {
        "RequestTimeTooSkewed" | "RequestInTheFuture" => CLOCK,
        "AuthenticationFailed" if says("not within") || says("date header") => CLOCK,
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired" => {
            EXPIRED
        }
        "AuthenticationFailed" if says("Signature not valid in the specified time frame") => {
            EXPIRED
        }
        "AuthorizationHeaderMalformed"
        | "PermanentRedirect"
        | "Redirect"
        | "IllegalLocationConstraintException"
        | "InvalidRegionName"
        | "InvalidLocationConstraint" => REGION,
        "TemporaryRedirect" => is(
            FailureKind::Transient,
            "the bucket's name isn't known everywhere yet: it is new, or has moved",
        ),
        "SignatureDoesNotMatch" => is(
            FailureKind::Auth,
            "the secret key isn't the one of this key id, or a proxy changes requests on their way",
        ),
        "InvalidAccessKeyId"
        | "InvalidToken"
        | "InvalidClientTokenId"
        | "InvalidSecurity"
        | "InvalidIdentityToken"
        | "UnrecognizedClientException"
        | "AuthenticationFailed"
        | "InvalidAuthenticationInfo"
        | "NoAuthenticationInformation"
        | "invalid_grant"
        | "invalid_client"
        | "unauthorized_client"
        | "AuthenticationRequired" => CREDENTIALS,
        "KeyBasedAuthenticationNotPermitted" => is(
            FailureKind::Auth,
            "the account forbids account keys and what is signed by them: sign in with Entra ID (client id, tenant and \
             secret, or a managed identity)",
        ),
        "AuthorizationFailure" => is(
            FailureKind::Auth,
            "the account's firewall keeps this machine out, or the shared access signature doesn't cover the container",
        ),
        "NotSignedUp" | "AccountProblem" | "AllAccessDisabled" | "AccountIsDisabled"
        | "UserSuspended" | "accountDisabled" => is(
            FailureKind::Auth,
            "the account is suspended: check the cloud's console",
        ),
        "AccessDenied" | "AccessDeniedException" | "Forbidden" if says("kms:") => is(
            FailureKind::Auth,
            "the credentials may not use the key that encrypts the bucket: allow kms:GenerateDataKey and kms:Decrypt on it",
        ),
        "AccessDenied" | "Forbidden" if says("retention policy") || says("Retention policy") => {
            IMMUTABLE
        }
        "AccessDenied" | "InvalidRequest" | "ObjectLocked" | "MethodNotAllowed"
            if says("protected by object lock")
                || says("WORM protected")
                || code == "ObjectLocked" =>
        {
            IMMUTABLE
        }
        "InvalidRequest" | "MissingContentMD5" | "InvalidDigest"
            if says("Object Lock") || says("Content-MD5") || code == "MissingContentMD5" =>
        {
            is(
                FailureKind::Config,
                "the bucket has Object Lock, which wants a checksum with each object: set `aws_checksum_algorithm: sha256` \
                 in `storage_options`",
            )
        }
        "AccessDenied"
        | "AccessDeniedException"
        | "Forbidden"
        | "AuthorizationPermissionMismatch"
        | "InsufficientAccountPermissions" => plainly(FailureKind::Auth),
        "retentionPolicyNotMet"
        | "BlobImmutableDueToPolicy"
        | "ObjectUnderActiveHold"
        | "LegalHold"
        | "BlobImmutableDueToLegalHold"
        | "BlobHasSnapshots"
        | "LeaseIdMissing"
        | "FileImmutable" => IMMUTABLE,
        "NoSuchBucket" | "ContainerNotFound" | "NoSuchHost" => is(
            FailureKind::Config,
            match store {
                StoreKind::Azure => {
                    "there is no such container: create it, or correct the lake's `url`"
                }
                _ => "there is no such bucket: create it, or correct the lake's `url`",
            },
        ),
        "InvalidBucketName"
        | "InvalidResourceName"
        | "InvalidBucketState"
        | "InvalidURI"
        | "InvalidUri" => is(
            FailureKind::Config,
            "the store doesn't permit this name of a bucket or container: correct the lake's `url`",
        ),
        "EntityTooLarge"
        | "RequestBodyTooLarge"
        | "MaxMessageLengthExceeded"
        | "RequestEntityTooLarge" => TOO_LARGE,
        "NotImplemented"
        | "UnsupportedHeader"
        | "UnsupportedHttpVerb"
        | "XNotImplemented"
        | "FeatureNotSupportedForAccount"
        | "ConditionHeadersNotSupported" => NOT_IMPLEMENTED,
        "QuotaExceeded"
        | "XMinioStorageFull"
        | "XMinioAdminBucketQuotaExceeded"
        | "InsufficientStorage"
        | "StorageQuotaExceeded" => FULL,
        "KMS.ThrottlingException"
        | "KMS.InternalException"
        | "KMS.KMSInternalException"
        | "KMS.DependencyTimeoutException" => plainly(FailureKind::Transient),
        _ if code.starts_with("KMS.") || code.starts_with("KeyVault") => KMS_KEY,
        "UserProjectMissing" => is(
            FailureKind::Config,
            "the bucket has Requester Pays, which isn't supported",
        ),
        // codes that S3 sends with 400, although the request is valid
        "RequestTimeout"
        | "IncompleteBody"
        | "BadDigest"
        | "XAmzContentSHA256Mismatch"
        | "Md5Mismatch"
        | "InternalError"
        | "SlowDown"
        | "ServiceUnavailable"
        | "ServerBusy"
        | "OperationTimedOut"
        | "OperationAborted"
        | "ConditionalRequestConflict"
        | "ContainerBeingDeleted"
        | "Throttling"
        | "ThrottlingException"
        | "RequestThrottled"
        | "TooManyRequests"
        | "XMinioServerNotInitialized" => plainly(FailureKind::Transient),
        _ => return None,
    })
}

/// Classifies a request without an answer.
fn without_answer(message: &str) -> StoreVerdict {
    let says = |words: &str| message.contains(words);
    if says("invalid peer certificate") {
        return if says("Expired") || says("NotValidYet") || says("not valid yet") {
            is(
                FailureKind::Config,
                "the store's certificate isn't valid now: renew it, or set this machine's clock",
            )
        } else if says("NotValidForName") || says("not valid for name") {
            is(
                FailureKind::Config,
                "the store's certificate is for another host: check the endpoint",
            )
        } else {
            is(
                FailureKind::Config,
                "the store's certificate isn't trusted: if your own certificate authority signed it, set `ca_file` in \
                 `lake`",
            )
        };
    }
    if says("URL scheme is not allowed") {
        return is(
            FailureKind::Config,
            "an endpoint of `http://` needs `allow_http: true` in `storage_options`",
        );
    }
    if says("proxy authorization required") || says("proxy authentication required") {
        return is(
            FailureKind::Config,
            "the proxy wants a user and a password: give them in the URL of the proxy",
        );
    }
    if says("without LOCATION") {
        return REGION;
    }
    if says("client panicked") {
        return plainly(FailureKind::Config);
    }
    plainly(FailureKind::Transient)
}

/// Classifies a failure of the disk.
pub(super) fn of_disk(error: &io::Error) -> StoreVerdict {
    use io::ErrorKind as Disk;
    match error.kind() {
        Disk::PermissionDenied => is(
            FailureKind::Auth,
            "let the user that auditlake runs as read and write the lake's folder",
        ),
        Disk::ReadOnlyFilesystem => is(
            FailureKind::Auth,
            "the disk is mounted read-only: mount it writable",
        ),
        Disk::StorageFull | Disk::QuotaExceeded => {
            is(FailureKind::Transient, "the disk is full: make room")
        }
        Disk::NotADirectory | Disk::IsADirectory => is(
            FailureKind::Config,
            "there is a file instead of a folder, or vice versa: move it, or correct the lake's `url`",
        ),
        Disk::InvalidFilename => is(
            FailureKind::Config,
            "the file system doesn't support such a long name: choose a shorter one",
        ),
        Disk::FileTooLarge => is(
            FailureKind::Transient,
            "files of this size aren't permitted: raise the limit of this process (`ulimit -f`), or lower `target_file_size`",
        ),
        Disk::Unsupported => is(
            FailureKind::Config,
            "the file system has neither hard links nor a rename that replaces nothing, so no file can be created only if \
             absent: use another one",
        ),
        _ => plainly(FailureKind::Transient),
    }
}

/// Returns the status in a message of `object_store`.
fn status_in(message: &str) -> Option<u16> {
    let (_, rest) = message.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// Returns the store's code: an element of an XML error, a member of a JSON error, or a part of a message of
/// `object_store`.
pub(super) fn code_in(message: &str) -> Option<String> {
    let between = |begin: &str, end: &str| {
        let (_, rest) = message.split_once(begin)?;
        let (code, _) = rest.split_once(end)?;
        Some(code.trim().to_owned())
    };
    let code = between("<Code>", "</Code>")
        .or_else(|| between("(code: ", ")"))
        .or_else(|| between("\"error\":\"", "\""))
        .or_else(|| between("\"error\": \"", "\""))?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (!code.is_empty() && code.len() <= 64 && code.chars().all(fits)).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn what_passes_by_itself_is_told_from_what_somebody_must_mend() {
        use FailureKind::{Auth, Config, Transient};
        use StoreKind::{Azure, Gcs, S3};
        for (store, status, code, message, kind, advice) in [
            (S3, 501, "NotImplemented", "", Config, "conditional writes"),
            (S3, 501, "", "", Config, "conditional writes"),
            (
                S3,
                405,
                "MethodNotAllowed",
                "",
                Config,
                "conditional writes",
            ),
            (S3, 413, "", "", Config, "target_file_size"),
            (S3, 400, "EntityTooLarge", "", Config, "target_file_size"),
            (S3, 400, "ExpiredToken", "", Auth, "expired"),
            (S3, 404, "NoSuchBucket", "", Config, "no such bucket"),
            (S3, 404, "", "", Config, "no such bucket or container"),
            (S3, 301, "PermanentRedirect", "", Config, "aws_region"),
            (S3, 301, "", "", Config, "aws_region"),
            (
                S3,
                307,
                "TemporaryRedirect",
                "",
                Transient,
                "new, or has moved",
            ),
            (
                S3,
                400,
                "AuthorizationHeaderMalformed",
                "",
                Config,
                "aws_region",
            ),
            (
                S3,
                403,
                "InvalidAccessKeyId",
                "",
                Auth,
                "doesn't accept these credentials",
            ),
            (S3, 403, "SignatureDoesNotMatch", "", Auth, "secret key"),
            (S3, 403, "RequestTimeTooSkewed", "", Auth, "clock"),
            (S3, 403, "AccessDenied", "", Auth, ""),
            (S3, 403, "", "", Auth, ""),
            (
                S3,
                400,
                "InvalidRequest",
                "Content-MD5 HTTP header is required for Put Part requests with Object Lock parameters",
                Config,
                "aws_checksum_algorithm: sha256",
            ),
            (
                S3,
                403,
                "AccessDenied",
                "Access Denied because object protected by object lock.",
                Config,
                "keeps objects from being deleted",
            ),
            (
                S3,
                403,
                "AccessDenied",
                "not authorized to perform: kms:GenerateDataKey",
                Auth,
                "kms:GenerateDataKey",
            ),
            (
                S3,
                400,
                "KMS.DisabledException",
                "",
                Config,
                "key that encrypts",
            ),
            (S3, 400, "KMS.ThrottlingException", "", Transient, ""),
            (S3, 400, "RequestTimeout", "", Transient, ""),
            (S3, 400, "InvalidArgument", "", Config, ""),
            (S3, 409, "OperationAborted", "", Transient, ""),
            (S3, 429, "", "", Transient, ""),
            (S3, 503, "SlowDown", "", Transient, ""),
            (S3, 500, "InternalError", "", Transient, ""),
            (S3, 507, "", "", Transient, "full"),
            (S3, 407, "", "", Config, "proxy"),
            (
                Azure,
                403,
                "AuthenticationFailed",
                "",
                Auth,
                "doesn't accept these credentials",
            ),
            (
                Azure,
                403,
                "AuthenticationFailed",
                "The date header in the request is incorrect.",
                Auth,
                "clock",
            ),
            (
                Azure,
                403,
                "AuthenticationFailed",
                "Signature not valid in the specified time frame",
                Auth,
                "expired",
            ),
            (Azure, 403, "AuthorizationPermissionMismatch", "", Auth, ""),
            (Azure, 403, "AuthorizationFailure", "", Auth, "firewall"),
            (
                Azure,
                403,
                "KeyBasedAuthenticationNotPermitted",
                "",
                Auth,
                "Entra",
            ),
            (
                Azure,
                404,
                "ContainerNotFound",
                "",
                Config,
                "no such container",
            ),
            (Azure, 409, "ContainerBeingDeleted", "", Transient, ""),
            (
                Azure,
                409,
                "BlobImmutableDueToPolicy",
                "",
                Config,
                "keeps objects from being deleted",
            ),
            (Azure, 503, "ServerBusy", "", Transient, ""),
            (
                Azure,
                401,
                "invalid_client",
                "",
                Auth,
                "doesn't accept these credentials",
            ),
            (Gcs, 404, "NoSuchBucket", "", Config, "no such bucket"),
            (
                Gcs,
                403,
                "AccessDenied",
                "Object is subject to bucket's retention policy",
                Config,
                "keeps objects from being deleted",
            ),
            (
                Gcs,
                401,
                "AuthenticationRequired",
                "",
                Auth,
                "doesn't accept these credentials",
            ),
            (
                Gcs,
                400,
                "invalid_grant",
                "",
                Auth,
                "doesn't accept these credentials",
            ),
            (Gcs, 307, "", "", Config, "endpoint"),
        ] {
            let code = Some(code).filter(|code| !code.is_empty());
            let verdict = classify(store, Some(status), code, message);
            let shown = format!("{store:?} {status} {code:?}: {verdict:?}");
            assert_eq!(verdict.kind, kind, "{shown}");
            match advice {
                "" => assert_eq!(verdict.advice, None, "{shown}"),
                advice => assert!(
                    verdict
                        .advice
                        .is_some_and(|message| message.contains(advice)),
                    "{shown}"
                ),
            }
            // names of one cloud have no meaning for the others
            let message = verdict.advice.unwrap_or_default();
            assert!(
                store == S3 || !message.contains("aws_") && !message.contains("s3:"),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_connection_that_fails_is_told_from_one_that_never_works() {
        for (message, kind, advice) in [
            (
                "error trying to connect: invalid peer certificate: UnknownIssuer",
                FailureKind::Config,
                "ca_file",
            ),
            (
                "invalid peer certificate: certificate expired: Expired",
                FailureKind::Config,
                "clock",
            ),
            (
                "invalid peer certificate: NotValidForName",
                FailureKind::Config,
                "another host",
            ),
            (
                "builder error: URL scheme is not allowed",
                FailureKind::Config,
                "allow_http",
            ),
            (
                "tunnel error: proxy authorization required",
                FailureKind::Config,
                "proxy",
            ),
            (
                "tcp connect error: Connection refused",
                FailureKind::Transient,
                "",
            ),
            ("operation timed out", FailureKind::Transient, ""),
            (
                "dns error: failed to lookup address",
                FailureKind::Transient,
                "",
            ),
        ] {
            let verdict = classify(StoreKind::S3, None, None, message);
            assert_eq!(verdict.kind, kind, "{message}");
            assert!(
                verdict.advice.unwrap_or_default().contains(advice),
                "{message}"
            );
        }
    }

    #[test]
    fn a_disk_says_what_it_lacks() {
        use io::ErrorKind as Disk;
        for (disk, kind, advice) in [
            (
                Disk::PermissionDenied,
                FailureKind::Auth,
                "user that auditlake runs as",
            ),
            (Disk::ReadOnlyFilesystem, FailureKind::Auth, "read-only"),
            (Disk::StorageFull, FailureKind::Transient, "make room"),
            (Disk::QuotaExceeded, FailureKind::Transient, "make room"),
            (
                Disk::NotADirectory,
                FailureKind::Config,
                "there is a file instead",
            ),
            (Disk::InvalidFilename, FailureKind::Config, "shorter"),
            (
                Disk::FileTooLarge,
                FailureKind::Transient,
                "target_file_size",
            ),
            (Disk::Unsupported, FailureKind::Config, "hard links"),
            (Disk::Interrupted, FailureKind::Transient, ""),
        ] {
            let verdict = of_disk(&io::Error::from(disk));
            assert_eq!(verdict.kind, kind, "{disk:?}");
            assert!(
                verdict.advice.unwrap_or_default().contains(advice),
                "{disk:?}"
            );
        }
    }

    #[test]
    fn the_code_is_found_in_whatever_form() {
        assert_eq!(
            code_in("x <Error><Code>NoSuchBucket</Code>").as_deref(),
            Some("NoSuchBucket")
        );
        assert_eq!(
            code_in("failed: Denied (code: AccessDenied)").as_deref(),
            Some("AccessDenied")
        );
        assert_eq!(
            code_in(r#"{"error":"invalid_grant"}"#).as_deref(),
            Some("invalid_grant")
        );
        assert_eq!(code_in("<Code>a b\u{1b}[2J</Code>"), None);
        assert_eq!(status_in("non-2xx status code: 403 Forbidden"), Some(403));
        assert_eq!(status_in("status code: é"), None);
    }
}
