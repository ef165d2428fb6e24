//! What jobs.yaml says, checked: every problem of the file is found at once.

mod connection;
mod job;
mod lake;
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

use crate::yaml::{Content, Fields, Node, YamlReader, reason};

/// All that a run needs to know. Nothing in it can be wrong by itself; secrets stay hidden in [`crate::secret::Secret`].
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the events go.
    pub lake: LakeConfig,
    /// The daemon itself.
    pub server: ServerConfig,
    /// The accounts, by name. One may have no job.
    pub connections: BTreeMap<String, ConnectionConfig>,
    /// What is pulled, in the file's order; at least one, each with its own name.
    pub jobs: Vec<JobConfig>,
}

/// Where the configuration is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigSource {
    /// A file.
    File(PathBuf),
    /// Standard input, `-c -`.
    Stdin,
}

/// `-` is standard input, all else a path.
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
    /// Reads and checks the configuration, with this process's environment.
    pub fn load(source: &ConfigSource) -> Result<Self, Problems> {
        let text = read_text(source)?;
        Self::parse(&source.to_string(), &text, &|name| std::env::var(name).ok())
    }

    /// Reads the lake alone, whatever else is wrong or missing: enough to say how it is laid out.
    pub fn load_lake(source: &ConfigSource) -> Result<LakeConfig, Problems> {
        let text = read_text(source)?;
        let problems = |problems| Problems::new(source.to_string(), problems);
        let (node, _) = Node::parse(&text).map_err(|problem| problems(vec![problem]))?;
        let environment = |name: &str| std::env::var(name).ok();
        let reader = YamlReader::new(&environment);
        let lake = Fields::of(&reader, &node, "the configuration")
            .and_then(|mut file| file.required("lake").and_then(|value| lake::read(&value)));
        lake.ok_or_else(|| problems(reader.problems()))
    }

    /// Checks the configuration `text`; messages call it `source_name`. Reads no clock and no network, and of the
    /// disk only the files that the text names.
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

/// A lake's URL in the one form in which it is shown; the error is a predicate of it.
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
    let lake = file.required("lake").and_then(|value| lake::read(&value));
    let server = match file.optional("server") {
        Some(value) => server::read(&value),
        None => Some(ServerConfig::default()),
    };
    let defaults = file.optional("defaults").map(|value| job::defaults(&value));
    let connections = file
        .required("connections")
        .map(|value| connection::read_all(&value));
    let jobs = file.required("jobs").map(|value| {
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
