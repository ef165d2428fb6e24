//! Parses requests as strictly as the provider might.

use std::time::Duration;

use chrono::DateTime;
use serde_json::{Map, Value, json};

use super::answer::ApiRefusal;
use super::dataset::FilingSpan;
use crate::Bound;

const FILTER_PROPERTIES: [&str; 6] = [
    "UserId",
    "TrusteeOrganizationId",
    "ClientId",
    "Action",
    "EntityType",
    "EntityId",
];
pub(super) const DEFAULT_PAGE_SIZE: usize = 25;
pub(super) const LARGEST_PAGE_SIZE: usize = 500;

/// An asynchronous or realtime query.
#[derive(Debug)]
pub(super) struct AuditQuery {
    pub(super) interval: Interval,
    pub(super) service: String,
    pub(super) filters: Vec<(String, String)>,
    pub(super) ascending: bool,
    pub(super) page_number: usize,
    pub(super) page_size: usize,
    /// The members that the status repeats, as received.
    pub(super) echo: Map<String, Value>,
}

/// A requested interval in microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interval {
    pub(super) start: i64,
    pub(super) end: i64,
}

/// The query string of the results call.
#[derive(Debug)]
pub(super) struct ResultsRequest {
    pub(super) cursor: Option<String>,
    pub(super) page_size: usize,
    pub(super) expand: bool,
    pub(super) allow_redirect: bool,
}

/// The body of a call for related audits.
#[derive(Debug)]
pub(super) struct RelatedRequest {
    pub(super) audit_id: String,
    pub(super) trustor_org_id: Option<String>,
    pub(super) ascending: bool,
}

impl Interval {
    pub(super) fn length(self) -> Duration {
        Duration::from_micros(u64::try_from(self.end - self.start).unwrap_or(0))
    }

    /// Returns the filing times that belong to the interval.
    pub(super) fn span(self, start: Bound, end: Bound) -> FilingSpan {
        FilingSpan {
            first: self.start + start.gap(),
            last: self.end - end.gap(),
        }
    }

    /// Parses `start/end`, each `YYYY-MM-DDThh:mm:ssZ` with or without milliseconds.
    fn parse(text: &str) -> Result<Self, ApiRefusal> {
        let bad = || ApiRefusal::bad_interval("");
        let (start, end) = text.split_once('/').ok_or_else(bad)?;
        let start = instant(start).ok_or_else(bad)?;
        let end = instant(end).ok_or_else(bad)?;
        if end <= start {
            return Err(ApiRefusal::bad_interval(": its end is not after its start"));
        }
        Ok(Self { start, end })
    }
}

impl AuditQuery {
    /// Parses the body of a query; `paged` queries are realtime and have their page in the body.
    pub(super) fn parse(body: &[u8], paged: bool) -> Result<Self, ApiRefusal> {
        let mut members = object(body)?;
        let mut allowed = vec!["interval", "serviceName", "filters", "sort"];
        if paged {
            allowed.extend(["pageNumber", "pageSize"]);
        }
        only(&members, &allowed)?;
        let service = match members.get("serviceName").unwrap_or(&Value::Null) {
            Value::String(name) if !name.is_empty() => name.clone(),
            Value::String(_) | Value::Null => return Err(ApiRefusal::service_required()),
            _ => return bad("serviceName", "The service name must be a string"),
        };
        let interval = match members.get("interval") {
            Some(Value::String(text)) => Interval::parse(text)?,
            _ => return Err(ApiRefusal::bad_interval("")),
        };
        let page_number = count(&members, "pageNumber", 1, usize::MAX)?;
        let page_size = count(&members, "pageSize", DEFAULT_PAGE_SIZE, LARGEST_PAGE_SIZE)?;
        let filters = pairs(&members, "filters", ["property", "value"])?;
        for (property, _) in &filters {
            if !FILTER_PROPERTIES.contains(&property.as_str()) {
                return bad(
                    "filters",
                    format!("The filter property {property} is not valid"),
                );
            }
        }
        let ascending = ascending(&members)?;
        members.retain(|name, _| {
            ["interval", "serviceName", "filters", "sort"].contains(&name.as_str())
        });
        for list in ["filters", "sort"] {
            members.entry(list).or_insert_with(|| json!([]));
        }
        Ok(Self {
            interval,
            service,
            filters,
            ascending,
            page_number,
            page_size,
            echo: members,
        })
    }

    /// Returns whether a record matches every filter.
    pub(super) fn matches(&self, record: &str) -> bool {
        // ids and names have no escapes, so a text without the value isn't parsed
        let lacks = |(_, value): &(String, String)| {
            value.is_ascii() && !value.contains(['"', '\\', '/']) && !record.contains(value)
        };
        if self.filters.is_empty() {
            return true;
        }
        if self.filters.iter().any(lacks) {
            return false;
        }
        let Ok(record) = serde_json::from_str::<Value>(record) else {
            return false;
        };
        self.filters.iter().all(|(property, value)| {
            let shown = match property.as_str() {
                "UserId" => &record["user"]["id"],
                "TrusteeOrganizationId" => &record["userHomeOrgId"],
                "ClientId" => &record["client"]["id"],
                "Action" => &record["action"],
                "EntityType" => &record["entityType"],
                _ => &record["entity"]["id"],
            };
            shown.as_str() == Some(value)
        })
    }
}

impl ResultsRequest {
    pub(super) fn parse(query: &str) -> Result<Self, ApiRefusal> {
        let mut request = Self {
            cursor: None,
            page_size: DEFAULT_PAGE_SIZE,
            expand: expand(query)?,
            allow_redirect: false,
        };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "cursor" => request.cursor = Some(value.into_owned()),
                "pageSize" => {
                    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
                    let number = value.parse().ok().filter(|_| digits);
                    request.page_size = within(number, "pageSize", LARGEST_PAGE_SIZE)?;
                }
                "allowRedirect" => {
                    request.allow_redirect = match &*value {
                        "true" => true,
                        "false" => false,
                        _ => return bad("allowRedirect", "allowRedirect must be true or false"),
                    };
                }
                _ => {}
            }
        }
        Ok(request)
    }
}

impl RelatedRequest {
    pub(super) fn parse(body: &[u8]) -> Result<Self, ApiRefusal> {
        let members = object(body)?;
        only(&members, &["auditId", "trustorOrgId", "sort"])?;
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
            Some(_) => bad(name, format!("{name} must be a string")),
        };
        Ok(Self {
            audit_id: text("auditId")?
                .ok_or_else(|| ApiRefusal::bad_field("auditId", "auditId is required"))?,
            trustor_org_id: text("trustorOrgId")?,
            ascending: ascending(&members)?,
        })
    }
}

/// Returns whether the query string expands users; nothing else can be expanded.
pub(super) fn expand(query: &str) -> Result<bool, ApiRefusal> {
    let mut expanded = false;
    for (_, value) in
        url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "expand")
    {
        if value != "user" {
            return bad(
                "expand",
                format!("The value {value} of expand is not valid"),
            );
        }
        expanded = true;
    }
    Ok(expanded)
}

fn instant(text: &str) -> Option<i64> {
    let pattern: &str = match text.len() {
        20 => "dddd-dd-ddTdd:dd:ddZ",
        24 => "dddd-dd-ddTdd:dd:dd.dddZ",
        _ => return None,
    };
    let fits = text
        .bytes()
        .zip(pattern.bytes())
        .all(|(byte, wanted)| match wanted {
            b'd' => byte.is_ascii_digit(),
            _ => byte == wanted,
        });
    let parsed = DateTime::parse_from_rfc3339(text).ok().filter(|_| fits)?;
    Some(parsed.timestamp_micros())
}

fn object(body: &[u8]) -> Result<Map<String, Value>, ApiRefusal> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(ApiRefusal::bad_request(
            "The request body is not a valid JSON object",
        )),
    }
}

fn bad<T>(field: &str, message: impl Into<String>) -> Result<T, ApiRefusal> {
    Err(ApiRefusal::bad_field(field, message))
}

fn only(members: &Map<String, Value>, allowed: &[&str]) -> Result<(), ApiRefusal> {
    let mut names = members.keys();
    match names.find(|name| !allowed.contains(&name.as_str())) {
        Some(name) => bad(name, format!("The field {name} is not recognized")),
        None => Ok(()),
    }
}

fn count(
    members: &Map<String, Value>,
    name: &str,
    default: usize,
    most: usize,
) -> Result<usize, ApiRefusal> {
    let Some(value) = members.get(name) else {
        return Ok(default);
    };
    let number = value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok());
    within(number, name, most)
}

fn within(number: Option<usize>, name: &str, most: usize) -> Result<usize, ApiRefusal> {
    match number.filter(|number| (1..=most).contains(number)) {
        Some(number) => Ok(number),
        None if most == usize::MAX => bad(name, format!("{name} must be at least 1")),
        None => bad(name, format!("{name} must be between 1 and {most}")),
    }
}

/// Returns whether the order is ascending; the default is descending.
fn ascending(members: &Map<String, Value>) -> Result<bool, ApiRefusal> {
    let mut order = None;
    for (name, sort_order) in pairs(members, "sort", ["name", "sortOrder"])? {
        if name != "Timestamp" {
            return bad("sort", format!("The sort name {name} is not valid"));
        }
        if !["ascending", "descending"].contains(&sort_order.as_str()) {
            return bad("sort", format!("The sort order {sort_order} is not valid"));
        }
        order.get_or_insert(sort_order == "ascending");
    }
    Ok(order.unwrap_or(false))
}

/// Parses a list of objects with exactly these two text members; empty if the list is missing.
fn pairs(
    members: &Map<String, Value>,
    list: &str,
    [one, other]: [&str; 2],
) -> Result<Vec<(String, String)>, ApiRefusal> {
    let items = match members.get(list) {
        None => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => return bad(list, format!("{list} must be an array")),
    };
    let pair = |item: &Value| {
        let members = item.as_object().filter(|members| members.len() == 2)?;
        let text = |name| Some(members.get(name)?.as_str()?.to_owned());
        Some((text(one)?, text(other)?))
    };
    let message = format!("Each of {list} must have exactly {one} and {other}");
    let pairs = items.iter().map(pair).collect::<Option<_>>();
    pairs.map_or_else(|| bad(list, message), Ok)
}
