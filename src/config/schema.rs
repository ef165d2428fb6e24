//! The JSON Schema of jobs.yaml, for editors, and the key tables of its documentation.

use serde_json::{Value, json};

use super::{CONNECTIONS, JOBS, KEYS, connection, job};
use crate::providers::PROVIDERS;
use crate::yaml::keys::{mapping, object};

/// Returns the JSON Schema of jobs.yaml.
///
/// Every object accepts keys that begin with `x-`, and no other unknown ones. A connection is checked against its
/// provider's keys, and a job's options against those of all providers, because a schema can't follow the name of the
/// connection.
pub fn schema() -> Value {
    let connections = PROVIDERS.iter().map(|spec| {
        let mut one = object(connection::KEYS.iter().chain(spec.connection_keys));
        one["description"] = json!(format!("A connection to `{}`.", spec.name));
        let provider = &mut one["properties"]["provider"];
        *provider = json!({ "const": spec.name, "description": provider["description"] });
        one
    });
    let connections: Vec<Value> = connections.collect();
    let options = PROVIDERS.iter().map(|spec| {
        let mut one = object(spec.options_keys);
        one["description"] = json!(format!("The options of a `{}` job.", spec.name));
        one
    });
    let options: Vec<Value> = options.collect();
    let mut job = object(job::OWN_KEYS.iter().chain(&job::TIMING_KEYS));
    let described = job["properties"]["options"]["description"].take();
    job["properties"]["options"] = json!({ "description": described, "anyOf": options });
    let mut schema = object(KEYS);
    let top = &mut schema["properties"];
    let described = top[CONNECTIONS.name]["description"].take();
    top[CONNECTIONS.name] = mapping(&json!({ "oneOf": connections }));
    top[CONNECTIONS.name]["description"] = described;
    top[JOBS.name]["minItems"] = json!(1);
    top[JOBS.name]["items"] = job;
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("auditlake's jobs.yaml");
    schema["description"] = json!("The configuration of auditlake.");
    schema
}

/// Returns the key tables of docs/configuration.md, by the names in its markers.
#[cfg(test)]
pub(super) fn tables() -> Vec<(String, String)> {
    use super::{lake, server};
    use crate::yaml::keys::table;

    let mut tables = vec![
        ("file".to_owned(), table(KEYS)),
        ("lake".to_owned(), table(lake::KEYS)),
        ("server".to_owned(), table(server::KEYS)),
        ("connections".to_owned(), table(connection::KEYS)),
    ];
    for spec in PROVIDERS {
        tables.push((spec.name.to_owned(), table(spec.connection_keys)));
        tables.push((format!("{} options", spec.name), table(spec.options_keys)));
    }
    let job = job::OWN_KEYS.iter().chain(&job::TIMING_KEYS);
    tables.push(("jobs".to_owned(), table(job)));
    tables
}
