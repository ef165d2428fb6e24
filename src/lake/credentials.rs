//! The source of a store's credentials: profiles of the AWS tools, and a metadata service that may not answer.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use object_store::aws::AwsCredential;
use object_store::azure::AzureCredential;
use object_store::client::CredentialProvider;
use object_store::gcp::GcpCredential;
use object_store::{Error, Result};

use super::options::{
    CONFIG_FILE, CREDENTIALS_FILE, PROFILE, REGION, S3_ENDPOINT, SettingOrigin, StoreKind,
    StoreSetting, StoreSettings, check,
};

/// No credentials were found. The message lists where they were searched.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoCredentials(String);

impl NoCredentials {
    fn into_error(self) -> Error {
        Error::Unauthenticated {
            path: String::new(),
            source: Box::new(self),
        }
    }
}

/// The timeout of a machine's metadata service, which is local or missing.
const METADATA: Duration = Duration::from_secs(5);
/// How long a missing answer is remembered, so that not every request waits again.
const SILENCE: Duration = Duration::from_secs(20);

/// The source of credentials.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CredentialSource {
    /// The settings, or files and services that they name. The machine's metadata service isn't used.
    Given,
    /// A profile, whose files are read for each request, as tools renew their content.
    Profile(ProfileFiles),
    /// The machine's metadata service, as nothing is configured.
    Machine,
}

impl CredentialSource {
    /// Returns the current secrets of this source, which no message may contain.
    pub(super) fn secrets(&self) -> Vec<String> {
        let Self::Profile(files) = self else {
            return Vec::new();
        };
        let profile = files.read().ok().flatten().unwrap_or_default();
        let secret = [
            "aws_access_key_id",
            "aws_secret_access_key",
            "aws_session_token",
        ];
        secret
            .iter()
            .filter_map(|key| profile.get(*key).cloned())
            .collect()
    }
}

/// Determines the source of credentials for these settings. A profile's own settings (region, endpoint, role) are
/// added. The error describes unusable settings.
pub(super) fn find(
    store: StoreKind,
    settings: &mut StoreSettings,
    home: Option<&Path>,
) -> std::result::Result<CredentialSource, String> {
    let has = |settings: &StoreSettings, keys: &[&str]| {
        keys.iter().all(|key| settings.contains_key(*key))
    };
    let is_yes = |settings: &StoreSettings, key: &str| {
        settings
            .get(key)
            .and_then(|setting| super::options::flag(&setting.value))
            .unwrap_or(false)
    };
    match store {
        StoreKind::S3 => find_s3(settings, home),
        StoreKind::Gcs => {
            let keys = [
                "google_service_account",
                "google_service_account_key",
                "google_bearer_token",
                "google_application_credentials",
            ];
            let default =
                home.map(|home| home.join(".config/gcloud/application_default_credentials.json"));
            let given = is_yes(settings, "google_skip_signature")
                || keys.iter().any(|key| settings.contains_key(*key))
                || default.is_some_and(|path| path.exists());
            Ok(if given {
                CredentialSource::Given
            } else {
                CredentialSource::Machine
            })
        }
        StoreKind::Azure => {
            let sets: [&[&str]; 7] = [
                &["azure_storage_account_key"],
                &["azure_storage_sas_key"],
                &["azure_storage_token"],
                &[
                    "azure_storage_client_id",
                    "azure_storage_client_secret",
                    "azure_storage_tenant_id",
                ],
                &[
                    "azure_storage_client_id",
                    "azure_federated_token_file",
                    "azure_storage_tenant_id",
                ],
                &["azure_fabric_session_token"],
                &["azure_msi_endpoint"],
            ];
            if has(settings, sets[4]) && !sets[..4].iter().any(|keys| has(settings, keys)) {
                readable(settings, "azure_federated_token_file")?;
            }
            let kind = settings
                .get("azure_credential_type")
                .map(|setting| setting.value.as_str());
            let given = sets.iter().any(|keys| has(settings, keys))
                || [
                    "azure_skip_signature",
                    "azure_use_azure_cli",
                    "azure_storage_use_emulator",
                ]
                .iter()
                .any(|key| is_yes(settings, key))
                || kind.is_some_and(|kind| kind != "auto" && kind != "managed_identity");
            Ok(if given {
                CredentialSource::Given
            } else {
                CredentialSource::Machine
            })
        }
        StoreKind::Folder | StoreKind::Memory => Ok(CredentialSource::Given),
    }
}

fn find_s3(
    settings: &mut StoreSettings,
    home: Option<&Path>,
) -> std::result::Result<CredentialSource, String> {
    let by_role = |settings: &StoreSettings| {
        !settings.contains_key("aws_access_key_id")
            && settings.contains_key("aws_web_identity_token_file")
            && settings.contains_key("aws_role_arn")
    };
    if by_role(settings) {
        readable(settings, "aws_web_identity_token_file")?;
    }
    let given = |settings: &StoreSettings| {
        settings.contains_key("aws_access_key_id")
            || settings.contains_key("aws_web_identity_token_file")
                && settings.contains_key("aws_role_arn")
            || settings
                .get("aws_skip_signature")
                .and_then(|setting| super::options::flag(&setting.value))
                .unwrap_or(false)
    };
    let files = ProfileFiles::of(settings, home);
    let named = settings.get(PROFILE).is_some();
    let Some(profile) = files.read()? else {
        if named && !given(settings) {
            return Err(files.lacks());
        }
        return Ok(machine_or_given(settings, given(settings)));
    };
    let origin = SettingOrigin::Part(format!("the profile `{}` in {}", files.name, files.shown()));
    let mut add = |key: &str, value: Option<&String>| {
        if let Some(value) = value {
            let (origin, value) = (origin.clone(), value.clone());
            settings
                .entry(key.to_owned())
                .or_insert(StoreSetting { origin, value });
        }
    };
    add(REGION, profile.get("region"));
    add(S3_ENDPOINT, profile.get("endpoint_url"));
    add("ca_file", profile.get("ca_bundle"));
    if given(settings) {
        return Ok(CredentialSource::Given);
    }
    if profile.contains_key("aws_access_key_id") {
        files.credential(&profile).map_err(|why| why.to_string())?;
        return Ok(CredentialSource::Profile(files));
    }
    if let (Some(role), Some(file)) = (
        profile.get("role_arn"),
        profile.get("web_identity_token_file"),
    ) {
        for (key, value) in [
            ("aws_role_arn", Some(role)),
            ("aws_web_identity_token_file", Some(file)),
            ("aws_role_session_name", profile.get("role_session_name")),
        ] {
            if let Some(value) = value {
                let (origin, value) = (origin.clone(), value.clone());
                settings.insert(key.to_owned(), StoreSetting { origin, value });
            }
        }
        return Ok(CredentialSource::Given);
    }
    let unsupported = [
        "credential_process",
        "sso_session",
        "sso_start_url",
        "login_session",
        "source_profile",
        "credential_source",
        "role_arn",
    ];
    if let Some(key) = unsupported.iter().find(|key| profile.contains_key(**key)) {
        return Err(format!(
            "{origin} gets its credentials by `{key}`, which only the AWS tools can follow: give auditlake what `aws \
             configure export-credentials --profile {} --format env` prints, or a role of the machine or the pod",
            files.name
        ));
    }
    Ok(machine_or_given(settings, false))
}

/// Fails if the file of a setting can't be read.
fn readable(settings: &StoreSettings, key: &str) -> std::result::Result<(), String> {
    let Some(setting) = settings.get(key) else {
        return Ok(());
    };
    match std::fs::read(&setting.value) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "{} names `{}`, which can't be read: {error}",
            setting.origin, setting.value
        )),
    }
}

fn machine_or_given(settings: &StoreSettings, given: bool) -> CredentialSource {
    let by_container = settings.contains_key("aws_container_credentials_relative_uri")
        || settings.contains_key("aws_container_credentials_full_uri")
            && settings.contains_key("aws_container_authorization_token_file");
    if given || by_container {
        CredentialSource::Given
    } else {
        CredentialSource::Machine
    }
}

/// The files of the AWS tools, and the selected profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProfileFiles {
    credentials: Option<PathBuf>,
    config: Option<PathBuf>,
    name: String,
}

type Profile = BTreeMap<String, String>;

impl ProfileFiles {
    fn of(settings: &StoreSettings, home: Option<&Path>) -> Self {
        let path = |key: &str, default: &str| match (settings.get(key), home) {
            (Some(setting), Some(home)) => Some(match setting.value.strip_prefix("~/") {
                Some(rest) => home.join(rest),
                None => PathBuf::from(&setting.value),
            }),
            (Some(setting), None) => Some(PathBuf::from(&setting.value)),
            (None, home) => home.map(|home| home.join(default)),
        };
        Self {
            credentials: path(CREDENTIALS_FILE, ".aws/credentials"),
            config: path(CONFIG_FILE, ".aws/config"),
            name: settings
                .get(PROFILE)
                .map_or_else(|| "default".to_owned(), |setting| setting.value.clone()),
        }
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.credentials.iter().chain(&self.config)
    }

    fn shown(&self) -> String {
        let paths: Vec<String> = self
            .paths()
            .map(|path| format!("`{}`", path.display()))
            .collect();
        paths.join(" and ")
    }

    fn lacks(&self) -> String {
        let mut known: Vec<String> = self
            .paths()
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .flat_map(|text| sections(&text).into_keys().collect::<Vec<_>>())
            .collect();
        known.sort();
        known.dedup();
        let known = if known.is_empty() {
            "there is none".to_owned()
        } else {
            format!("there are `{}`", known.join("`, `"))
        };
        format!(
            "there is no profile `{}` in {}; {known}",
            self.name,
            self.shown()
        )
    }

    /// Reads the profile, in which the credentials file takes precedence; `None` if it doesn't exist. Fails if a file
    /// exists but can't be read.
    fn read(&self) -> std::result::Result<Option<Profile>, String> {
        let mut found: Option<Profile> = None;
        for path in [&self.config, &self.credentials].into_iter().flatten() {
            let text = match std::fs::read(path) {
                Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(format!("`{}` can't be read: {error}", path.display())),
            };
            if let Some(section) = sections(&text).remove(&self.name) {
                found.get_or_insert_default().extend(section);
            }
        }
        Ok(found)
    }

    fn credential(&self, profile: &Profile) -> std::result::Result<AwsCredential, NoCredentials> {
        let of = format!("the profile `{}` in {}", self.name, self.shown());
        let read = |key: &str| {
            let Some(value) = profile.get(key) else {
                return Ok(None);
            };
            match check(key, value) {
                Ok(()) => Ok(Some(value.clone())),
                Err(why) => Err(NoCredentials(format!("`{key}` of {of} {why}"))),
            }
        };
        let needed =
            |key: &str| read(key)?.ok_or_else(|| NoCredentials(format!("{of} lacks `{key}`")));
        Ok(AwsCredential {
            key_id: needed("aws_access_key_id")?,
            secret_key: needed("aws_secret_access_key")?,
            token: read("aws_session_token")?,
        })
    }
}

/// Parses the sections of an INI file of the AWS tools, by the profile's name.
fn sections(text: &str) -> BTreeMap<String, Profile> {
    let mut all: BTreeMap<String, Profile> = BTreeMap::new();
    let mut name = None;
    for line in text.trim_start_matches('\u{feff}').lines() {
        let is_nested = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            let header = header.split(']').next().unwrap_or_default().trim();
            let is_other = ["sso-session ", "services "]
                .iter()
                .any(|kind| header.starts_with(kind));
            let profile = header.strip_prefix("profile ").unwrap_or(header);
            let profile = profile.trim().trim_matches(['"', '\'']);
            name = (!is_other).then(|| profile.to_owned());
            if let Some(name) = &name {
                all.entry(name.clone()).or_default();
            }
        } else if let (Some(name), Some((key, value)), false) =
            (&name, line.split_once('='), is_nested)
        {
            let value = value.split(" #").next().unwrap_or_default().trim();
            if !value.is_empty() {
                all.entry(name.clone())
                    .or_default()
                    .insert(key.trim().to_ascii_lowercase(), value.to_owned());
            }
        }
    }
    all
}

#[async_trait]
impl CredentialProvider for ProfileFiles {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> Result<Arc<AwsCredential>> {
        let profile = self.read().map_err(|why| NoCredentials(why).into_error())?;
        let profile = profile.ok_or_else(|| NoCredentials(self.lacks()).into_error())?;
        let credential = self.credential(&profile);
        credential.map(Arc::new).map_err(NoCredentials::into_error)
    }
}

/// A credential whose parts are checked before a library puts them into a header.
pub(super) trait Checked {
    /// Returns the first part that isn't valid in a header.
    fn problem(&self) -> Option<String>;
}

fn problem_of(what: &str, key: &str, value: &str) -> Option<String> {
    let why = check(key, value).err()?;
    Some(format!("the {what} that was obtained {why}"))
}

impl Checked for AwsCredential {
    fn problem(&self) -> Option<String> {
        problem_of("access key id", "aws_access_key_id", &self.key_id)
            .or_else(|| {
                problem_of(
                    "secret access key",
                    "aws_secret_access_key",
                    &self.secret_key,
                )
            })
            .or_else(|| problem_of("session token", "aws_session_token", self.token.as_deref()?))
    }
}

impl Checked for AzureCredential {
    fn problem(&self) -> Option<String> {
        match self {
            Self::BearerToken(token) => problem_of("token", "azure_storage_token", token),
            _ => None,
        }
    }
}

impl Checked for GcpCredential {
    fn problem(&self) -> Option<String> {
        problem_of("token", "google_bearer_token", &self.bearer)
    }
}

/// Credentials that are checked before use, with a timeout.
pub(super) struct Bounded<T> {
    provider: Arc<dyn CredentialProvider<Credential = T>>,
    /// For a machine's metadata service: where credentials were searched before.
    looked_for: Option<&'static str>,
    silent: Mutex<Option<(Instant, NoCredentials)>>,
}

impl<T> fmt::Debug for Bounded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounded").finish_non_exhaustive()
    }
}

impl<T> Bounded<T> {
    pub(super) fn new(
        provider: Arc<dyn CredentialProvider<Credential = T>>,
        looked_for: Option<&'static str>,
    ) -> Self {
        Self {
            provider,
            looked_for,
            silent: Mutex::new(None),
        }
    }

    /// The recent error of a service that doesn't answer.
    fn remembered(&self) -> Option<NoCredentials> {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, message) = silent.as_ref()?;
        (at.elapsed() < SILENCE).then(|| message.clone())
    }
}

#[async_trait]
impl<T: Checked + Send + Sync + 'static> CredentialProvider for Bounded<T> {
    type Credential = T;

    async fn get_credential(&self) -> Result<Arc<T>> {
        let found = match self.looked_for {
            None => self.provider.get_credential().await?,
            Some(looked_for) => {
                if let Some(message) = self.remembered() {
                    return Err(message.into_error());
                }
                let why = match tokio::time::timeout(METADATA, self.provider.get_credential()).await
                {
                    Ok(Ok(found)) => Ok(found),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err(format!("it didn't answer within {} s", METADATA.as_secs())),
                };
                match why {
                    Ok(found) => found,
                    Err(why) => {
                        let message = NoCredentials(format!(
                            "there are no credentials for the lake: {looked_for}; and this machine's metadata service has \
                             none: {why}"
                        ));
                        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
                        *silent = Some((Instant::now(), message.clone()));
                        return Err(message.into_error());
                    }
                }
            }
        };
        match found.problem() {
            None => Ok(found),
            Some(problem) => Err(NoCredentials(problem).into_error()),
        }
    }
}

/// Returns where credentials were searched in vain before the machine's metadata service.
pub(super) fn looked_for(store: StoreKind) -> &'static str {
    match store {
        StoreKind::S3 => {
            "neither `storage_options` nor the environment has `aws_access_key_id`; there is no AWS_PROFILE with keys in \
             ~/.aws/credentials or ~/.aws/config, no AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN, and no \
             AWS_CONTAINER_CREDENTIALS_…"
        }
        StoreKind::Gcs => {
            "neither `storage_options` nor the environment has `google_service_account` or \
             `google_application_credentials`, and there is no \
             ~/.config/gcloud/application_default_credentials.json"
        }
        _ => {
            "neither `storage_options` nor the environment has AZURE_STORAGE_CONNECTION_STRING, \
             `azure_storage_account_key`, `azure_storage_sas_token`, or AZURE_CLIENT_ID and AZURE_TENANT_ID with \
             AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE"
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn option(key: &str, value: &str) -> (String, StoreSetting) {
        let origin = SettingOrigin::Option(key.to_owned());
        (
            key.to_owned(),
            StoreSetting {
                origin,
                value: value.to_owned(),
            },
        )
    }

    fn with(
        credentials: &str,
        config: &str,
        options: &[(&str, &str)],
    ) -> (
        std::result::Result<CredentialSource, String>,
        StoreSettings,
        tempfile::TempDir,
    ) {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".aws");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("credentials"), credentials).unwrap();
        std::fs::write(folder.join("config"), config).unwrap();
        let mut settings: StoreSettings = options
            .iter()
            .map(|(key, value)| option(key, value))
            .collect();
        let found = find(StoreKind::S3, &mut settings, Some(home.path()));
        (found, settings, home)
    }

    #[tokio::test]
    async fn a_profile_is_read_as_the_aws_tools_do_and_anew_each_time() {
        let keys = "\u{feff}# mine\r\n[default]\r\naws_access_key_id = A\r\naws_secret_access_key=B\r\n\r\n[dev]\r\naws_access_key_id=C\r\naws_secret_access_key=D # x\r\naws_session_token=E\r\n";
        let config = "[default]\nregion=eu-west-1\n[profile dev]\nregion = eu-north-1\nendpoint_url = https://own\ns3 =\n  aws_access_key_id = nested\n[sso-session dev]\nregion=other\n";
        let (found, settings, home) = with(keys, config, &[(PROFILE, "dev")]);
        let Ok(CredentialSource::Profile(files)) = found else {
            panic!("{found:?}");
        };
        assert_eq!(settings[REGION].value, "eu-north-1");
        assert_eq!(settings[S3_ENDPOINT].value, "https://own");
        let got = files.get_credential().await.unwrap();
        assert_eq!(
            (
                got.key_id.as_str(),
                got.secret_key.as_str(),
                got.token.as_deref()
            ),
            ("C", "D", Some("E"))
        );
        std::fs::write(
            home.path().join(".aws/credentials"),
            "[dev]\naws_access_key_id=F\naws_secret_access_key=G\n",
        )
        .unwrap();
        let got = files.get_credential().await.unwrap();
        assert_eq!((got.key_id.as_str(), got.token.as_deref()), ("F", None));
        std::fs::write(
            home.path().join(".aws/credentials"),
            "[dev]\naws_access_key_id=é\naws_secret_access_key=G\n",
        )
        .unwrap();
        let error = files.get_credential().await.unwrap_err().to_string();
        assert!(
            error.contains("`aws_access_key_id` of the profile `dev`"),
            "{error}"
        );

        // without a name, the default profile is used; keys of the environment take precedence
        let (found, settings, _home) = with(keys, config, &[]);
        assert!(matches!(found, Ok(CredentialSource::Profile(files)) if files.name == "default"));
        assert_eq!(settings[REGION].value, "eu-west-1");
        let (found, ..) = with(
            keys,
            config,
            &[
                ("aws_access_key_id", "X"),
                ("aws_secret_access_key", "Y"),
                (PROFILE, "dev"),
            ],
        );
        assert_eq!(found, Ok(CredentialSource::Given));
    }

    #[test]
    fn a_profile_that_cant_be_used_says_why() {
        let (found, ..) = with("[a]\n", "[profile b]\n", &[(PROFILE, "c")]);
        let error = found.unwrap_err();
        assert!(
            error.starts_with("there is no profile `c` in `/"),
            "{error}"
        );
        assert!(error.ends_with("; there are `a`, `b`"), "{error}");
        for key in [
            "credential_process",
            "sso_session",
            "source_profile",
            "login_session",
        ] {
            let (found, ..) = with("", &format!("[profile c]\n{key} = x\n"), &[(PROFILE, "c")]);
            let error = found.unwrap_err();
            assert!(
                error.contains(&format!("gets its credentials by `{key}`")),
                "{error}"
            );
        }
        let (found, ..) = with("[c]\naws_access_key_id=A\n", "", &[(PROFILE, "c")]);
        assert!(
            found
                .unwrap_err()
                .ends_with("lacks `aws_secret_access_key`")
        );
        let (found, settings, _home) = with(
            "",
            "[profile c]\nrole_arn=r\nweb_identity_token_file=/t\n",
            &[(PROFILE, "c")],
        );
        assert_eq!(
            (found, settings["aws_role_arn"].value.as_str()),
            (Ok(CredentialSource::Given), "r")
        );
        assert_eq!(with("", "", &[]).0, Ok(CredentialSource::Machine));
    }

    #[derive(Debug)]
    struct Says(Option<&'static str>);

    #[async_trait]
    impl CredentialProvider for Says {
        type Credential = GcpCredential;

        async fn get_credential(&self) -> Result<Arc<GcpCredential>> {
            match self.0 {
                Some(bearer) => Ok(Arc::new(GcpCredential {
                    bearer: bearer.to_owned(),
                })),
                None => std::future::pending().await,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_metadata_service_is_given_up_and_not_asked_again_at_once() {
        let begun = tokio::time::Instant::now();
        let bounded = Bounded::new(Arc::new(Says(None)), Some(looked_for(StoreKind::Gcs)));
        let error = bounded.get_credential().await.unwrap_err().to_string();
        assert!(error.contains("google_application_credentials"), "{error}");
        assert!(error.contains("didn't answer within 5 s"), "{error}");
        bounded.get_credential().await.unwrap_err();
        assert_eq!(begun.elapsed(), METADATA);
    }

    #[tokio::test]
    async fn a_token_that_no_header_can_hold_is_an_error() {
        for looked_for in [None, Some("nothing")] {
            let bounded = Bounded::new(Arc::new(Says(Some("a\nb"))), looked_for);
            let error = bounded.get_credential().await.unwrap_err().to_string();
            assert!(
                error.contains("the token that was obtained holds a line break"),
                "{error}"
            );
            let bounded = Bounded::new(Arc::new(Says(Some("ab"))), looked_for);
            assert_eq!(bounded.get_credential().await.unwrap().bearer, "ab");
        }
    }
}
