//! The configuration from jobs.yaml. All problems of the file are reported at once.

mod connection;
mod job;
mod lake;
mod name;
mod schema;
mod server;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use connection::ConnectionConfig;
pub use job::JobConfig;
pub use lake::LakeConfig;
pub use schema::schema;
pub use server::ServerConfig;

pub use crate::yaml::value::time;
pub use crate::yaml::{Position, Problem, Problems};

use crate::yaml::keys::{Key, KeyKind};
use crate::yaml::{Content, Fields, Node, YamlReader, reason};

const LAKE: Key = Key::required(
    "lake",
    KeyKind::Block(lake::KEYS),
    "the destination of the events; see [lake](#lake)",
);
const SERVER: Key = Key::optional(
    "server",
    KeyKind::Block(server::KEYS),
    "the settings of the daemon; see [server](#server)",
);
const DEFAULTS: Key = Key::optional(
    "defaults",
    KeyKind::Block(&job::TIMING_KEYS),
    "values for jobs that don't set their own; see [defaults](#defaults)",
);
const CONNECTIONS: Key = Key::required(
    "connections",
    KeyKind::Mapping,
    "the accounts, by name; see [connections](#connections)",
);
const JOBS: Key = Key::required(
    "jobs",
    KeyKind::List(&KeyKind::Block(job::OWN_KEYS)),
    "the pulls; see [jobs](#jobs)",
);

/// The keys of the file.
const KEYS: &[Key] = &[LAKE, SERVER, DEFAULTS, CONNECTIONS, JOBS];

/// A valid configuration. Secrets are hidden in [`crate::secret::Secret`].
#[derive(Debug, Clone)]
pub struct Config {
    /// The destination of the events.
    pub lake: LakeConfig,
    /// The settings of the daemon.
    pub server: ServerConfig,
    /// The accounts, by name. An account without a job is allowed.
    pub connections: BTreeMap<String, ConnectionConfig>,
    /// The pulls in the file's order; at least one, with unique names.
    pub jobs: Vec<JobConfig>,
}

/// The source of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigSource {
    /// A file.
    File(PathBuf),
    /// Standard input, `-c -`.
    Stdin,
}

/// Converts `-` to standard input, and anything else to a path.
impl From<&str> for ConfigSource {
    fn from(text: &str) -> Self {
        match text {
            "-" => Self::Stdin,
            path => Self::File(path.into()),
        }
    }
}

impl std::fmt::Display for ConfigSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Stdin => f.write_str("<stdin>"),
        }
    }
}

impl Config {
    /// Reads and checks the configuration with the process's environment.
    pub fn load(source: &ConfigSource) -> Result<Self, Problems> {
        let text = read_text(source)?;
        Self::parse(&source.to_string(), &text, &|name| std::env::var(name).ok())
    }

    /// Reads only `lake`, and ignores problems in other keys.
    pub fn load_lake(source: &ConfigSource) -> Result<LakeConfig, Problems> {
        let text = read_text(source)?;
        let problems = |problems| Problems::new(source.to_string(), problems);
        let (node, _) = Node::parse(&text).map_err(|problem| problems(vec![problem]))?;
        let environment = |name: &str| std::env::var(name).ok();
        let reader = YamlReader::new(&environment);
        let lake = Fields::of(&reader, &node, "the configuration")
            .and_then(|mut file| file.get(&LAKE).and_then(|value| lake::read(&value)));
        lake.ok_or_else(|| problems(reader.problems()))
    }

    /// Checks the configuration `text`; messages call it `source_name`. Doesn't use clock and network, and reads only
    /// the files that the text refers to.
    pub fn parse(
        source_name: &str,
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        let problems = |problems| Problems::new(source_name, problems);
        let (node, mut found) = Node::parse(text).map_err(|problem| problems(vec![problem]))?;
        let reader = YamlReader::new(environment);
        let config = read(&reader, &node);
        found.extend(reader.problems());
        match config {
            Some(config) if found.is_empty() => Ok(config),
            _ => Err(problems(found)),
        }
    }
}

/// Normalises a lake's URL. The error is a predicate of it.
pub fn lake_url(url: &str) -> Result<String, String> {
    lake::one_form(url)
}

fn read_text(source: &ConfigSource) -> Result<String, Problems> {
    let text = match source {
        ConfigSource::File(path) => std::fs::read_to_string(path),
        ConfigSource::Stdin => std::io::read_to_string(std::io::stdin()),
    };
    text.map_err(|error| {
        let why = reason(&error);
        let message =
            format!("the configuration can't be read: {why}; name another with `-c FILE`");
        Problems::new(source.to_string(), vec![Problem { at: None, message }])
    })
}

fn read(reader: &YamlReader<'_>, node: &Node) -> Option<Config> {
    if matches!(node.content, Content::Null) {
        reader.report(
            node.at,
            "the configuration is empty; it needs `lake`, `connections` and `jobs`",
        );
        return None;
    }
    let mut file = Fields::of(reader, node, "the configuration")?;
    let lake = file.get(&LAKE).and_then(|value| lake::read(&value));
    let server = match file.get(&SERVER) {
        Some(value) => value.fields("`server`"),
        None => Some(file.empty("`server`")),
    };
    let server = server.and_then(server::read);
    let defaults = file.get(&DEFAULTS).map(|value| job::defaults(&value));
    let connections = file
        .get(&CONNECTIONS)
        .map(|value| connection::read_all(&value));
    let jobs = file.get(&JOBS).map(|value| {
        let connections = connections.as_ref();
        job::read_all(&value, &defaults.unwrap_or_default(), connections)
    });
    file.finish();
    let connections = connections?.into_iter();
    Some(Config {
        lake: lake?,
        server: server?,
        connections: connections
            .filter_map(|(name, known)| Some((name, known.connection?.connection)))
            .collect(),
        jobs: jobs?,
    })
}

#[cfg(test)]
mod tests;
