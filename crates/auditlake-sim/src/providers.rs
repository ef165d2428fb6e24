//! All simulated providers at once, for whoever runs the repository's own jobs.yaml.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Clock, SimError, avaya, everyware, genesys, liveperson, start};

/// One of each provider, on one clock.
#[derive(Debug)]
pub struct Providers {
    /// Genesys Cloud.
    pub genesys: genesys::Genesys,
    /// Avaya Experience Platform.
    pub avaya: avaya::Avaya,
    /// LivePerson.
    pub liveperson: liveperson::LivePerson,
    /// Everyware Cloud.
    pub everyware: everyware::Everyware,
}

/// What the providers hold, and how they answer.
#[derive(Debug, Clone, Copy)]
pub struct ProvidersSpec {
    /// How many audits Genesys Cloud holds; each of the others holds a fifth of that.
    pub records: usize,
    /// No event happened before this instant.
    pub from: DateTime<Utc>,
    /// All events happened before this instant.
    pub to: DateTime<Utc>,
    /// The present, until it is set.
    pub now: DateTime<Utc>,
    /// By how much every answer is delayed.
    pub latency: Duration,
}

impl Providers {
    /// Generates what they hold and starts them.
    pub async fn start(spec: ProvidersSpec) -> Result<Self, SimError> {
        let ProvidersSpec {
            records,
            from,
            to,
            now,
            latency,
        } = spec;
        let (clock, few) = (Clock::Fixed(now), records / 5);
        // a clock that is set on by days must not end what was signed in to
        let token_lifetime = Duration::from_hours(24 * 365);
        /// A provider's data of this range.
        macro_rules! data {
            ($provider:ident, $records:expr) => {
                $provider::Dataset::generate(&$provider::DatasetSpec {
                    records: $records,
                    from,
                    to,
                    ..$provider::DatasetSpec::default()
                })
            };
        }
        let genesys = genesys::GenesysSettings {
            token_lifetime,
            clock,
            running_polls: 0,
            latency,
            ..genesys::GenesysSettings::default()
        };
        let avaya = avaya::AvayaSettings {
            token_lifetime,
            clock,
            latency,
            ..avaya::AvayaSettings::default()
        };
        let liveperson = liveperson::LivePersonSettings {
            token_lifetime,
            clock,
            latency,
            ..liveperson::LivePersonSettings::default()
        };
        let everyware = everyware::EverywareSettings {
            clock,
            latency,
            ..everyware::EverywareSettings::default()
        };
        Ok(Self {
            genesys: start(genesys, data!(genesys, records)).await?,
            avaya: start(avaya, data!(avaya, few)).await?,
            liveperson: start(liveperson, data!(liveperson, few)).await?,
            everyware: start(everyware, data!(everyware, few)).await?,
        })
    }

    /// The variables that jobs.yaml takes from the environment, so that it finds these.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let genesys = genesys::GenesysSettings::default();
        let avaya = avaya::AvayaSettings::default();
        let liveperson = liveperson::LivePersonSettings::default();
        let everyware = everyware::EverywareSettings::default();
        vec![
            ("AUDITLAKE_ALLOW_HTTP", "true".to_owned()),
            ("GENESYS_API_URL", self.genesys.base_url()),
            ("GENESYS_LOGIN_URL", self.genesys.login_url()),
            ("GENESYS_CLIENT_ID", genesys.client_id),
            ("GENESYS_CLIENT_SECRET", genesys.client_secret),
            ("AVAYA_API_URL", self.avaya.base_url()),
            ("AVAYA_ACCOUNT_ID", avaya.account_id),
            ("AVAYA_APP_KEY", avaya.app_key),
            ("AVAYA_CLIENT_ID", avaya.client_id),
            ("AVAYA_CLIENT_SECRET", avaya.client_secret),
            ("LIVEPERSON_DOMAIN_URL", self.liveperson.domain_url()),
            (
                "LIVEPERSON_ACCOUNT_ID",
                self.liveperson.dataset().account_id().to_owned(),
            ),
            ("LIVEPERSON_CLIENT_ID", liveperson.client_id),
            ("LIVEPERSON_CLIENT_SECRET", liveperson.client_secret),
            ("EVERYWARE_API_URL", self.everyware.base_url()),
            ("EVERYWARE_USERNAME", everyware.username),
            ("EVERYWARE_PASSWORD", everyware.password),
        ]
    }

    /// Makes this the present for all of them.
    pub fn set_now(&self, now: DateTime<Utc>) {
        self.genesys.set_now(now);
        self.avaya.set_now(now);
        self.liveperson.set_now(now);
        self.everyware.set_now(now);
    }

    /// Ends all of them.
    pub async fn shutdown(self) {
        tokio::join!(
            self.genesys.shutdown(),
            self.avaya.shutdown(),
            self.liveperson.shutdown(),
            self.everyware.shutdown()
        );
    }
}
