//! Reads requests as strictly as the provider might.

use std::time::Duration;

use chrono::DateTime;
use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::dataset::Span;
use super::settings::IntervalBound;

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

/// A query of either kind.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) interval: Interval,
    pub(super) service: String,
    pub(super) filters: Vec<(String, String)>,
    pub(super) ascending: bool,
    pub(super) page_number: usize,
    pub(super) page_size: usize,
    /// The members that the status shows again, as they came.
    pub(super) echo: Map<String, Value>,
}

/// An interval as asked for, in microseconds.
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

    /// The filing times that belong to the interval.
    pub(super) fn span(self, start: IntervalBound, end: IntervalBound) -> Span {
        Span {
            first: self.start + i64::from(start == IntervalBound::Exclusive),
            last: self.end - i64::from(end == IntervalBound::Exclusive),
        }
    }

    /// Reads `start/end`, each `YYYY-MM-DDThh:mm:ssZ` with milliseconds or without.
    fn parse(text: &str) -> Result<Self, Refusal> {
        let bad = || Refusal::bad_interval("");
        let (start, end) = text.split_once('/').ok_or_else(bad)?;
        let start = instant(start).ok_or_else(bad)?;
        let end = instant(end).ok_or_else(bad)?;
        if end <= start {
            return Err(Refusal::bad_interval(": its end is not after its start"));
        }
        Ok(Self { start, end })
    }
}

impl Query {
    /// Reads the body of a query; `paged` ones are realtime and have their page in the body.
    pub(super) fn parse(body: &[u8], paged: bool) -> Result<Self, Refusal> {
        let mut members = object(body)?;
        let mut allowed = vec!["interval", "serviceName", "filters", "sort"];
        if paged {
            allowed.extend(["pageNumber", "pageSize"]);
        }
        only(&members, &allowed)?;
        let service = match members.get("serviceName") {
            None | Some(Value::Null) => return Err(Refusal::service_required()),
            Some(Value::String(name)) if name.is_empty() => return Err(Refusal::service_required()),
            Some(Value::String(name)) => name.clone(),
            Some(_) => {
                return Err(Refusal::bad_field(
                    "serviceName",
                    "The service name must be a string",
                ));
            }
        };
        let interval = match members.get("interval") {
            Some(Value::String(text)) => Interval::parse(text)?,
            _ => return Err(Refusal::bad_interval("")),
        };
        let page_number = count(members.get("pageNumber"), "pageNumber", 1, usize::MAX)?;
        let page_size = count(
            members.get("pageSize"),
            "pageSize",
            DEFAULT_PAGE_SIZE,
            LARGEST_PAGE_SIZE,
        )?;
        let filters = filters(members.get("filters"))?;
        let ascending = ascending(members.get("sort"))?;
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

    /// Whether a record passes every filter.
    pub(super) fn matches(&self, record: &str) -> bool {
        // Ids and names are written without escapes; so a text that lacks the value needs no parsing.
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
    pub(super) fn parse(query: &str) -> Result<Self, Refusal> {
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
                    request.page_size = value
                        .parse()
                        .ok()
                        .filter(|size| digits && (1..=LARGEST_PAGE_SIZE).contains(size))
                        .ok_or_else(|| out_of_range("pageSize", LARGEST_PAGE_SIZE))?;
                }
                "allowRedirect" => {
                    request.allow_redirect = match &*value {
                        "true" => true,
                        "false" => false,
                        _ => {
                            return Err(Refusal::bad_field(
                                "allowRedirect",
                                "allowRedirect must be true or false",
                            ));
                        }
                    };
                }
                _ => {}
            }
        }
        Ok(request)
    }
}

impl RelatedRequest {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let members = object(body)?;
        only(&members, &["auditId", "trustorOrgId", "sort"])?;
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
            Some(_) => Err(Refusal::bad_field(name, format!("{name} must be a string"))),
        };
        Ok(Self {
            audit_id: text("auditId")?
                .ok_or_else(|| Refusal::bad_field("auditId", "auditId is required"))?,
            trustor_org_id: text("trustorOrgId")?,
            ascending: ascending(members.get("sort"))?,
        })
    }
}

/// Whether the query string expands users; nothing else can be expanded.
pub(super) fn expand(query: &str) -> Result<bool, Refusal> {
    let mut expanded = false;
    for (_, value) in
        url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "expand")
    {
        if value != "user" {
            return Err(Refusal::bad_field(
                "expand",
                format!("The value {value} of expand is not valid"),
            ));
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

fn object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(Refusal::bad_request(
            "The request body is not a valid JSON object",
        )),
    }
}

fn only(members: &Map<String, Value>, allowed: &[&str]) -> Result<(), Refusal> {
    match members
        .keys()
        .find(|name| !allowed.contains(&name.as_str()))
    {
        Some(name) => Err(Refusal::bad_field(
            name,
            format!("The field {name} is not recognized"),
        )),
        None => Ok(()),
    }
}

fn count(value: Option<&Value>, name: &str, default: usize, most: usize) -> Result<usize, Refusal> {
    let Some(value) = value else {
        return Ok(default);
    };
    let number = value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok());
    number
        .filter(|number| (1..=most).contains(number))
        .ok_or_else(|| out_of_range(name, most))
}

fn out_of_range(name: &str, most: usize) -> Refusal {
    let message = if most == usize::MAX {
        format!("{name} must be at least 1")
    } else {
        format!("{name} must be between 1 and {most}")
    };
    Refusal::bad_field(name, message)
}

fn filters(value: Option<&Value>) -> Result<Vec<(String, String)>, Refusal> {
    let list = match value {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(Refusal::bad_field("filters", "filters must be an array")),
    };
    let mut filters = Vec::new();
    for filter in list {
        let (property, value) = pair(filter, "property", "value").ok_or_else(|| {
            Refusal::bad_field(
                "filters",
                "A filter must have exactly a property and a value",
            )
        })?;
        if !FILTER_PROPERTIES.contains(&property.as_str()) {
            let message = format!("The filter property {property} is not valid");
            return Err(Refusal::bad_field("filters", message));
        }
        filters.push((property, value));
    }
    Ok(filters)
}

/// Whether the order is ascending; without a wish it is descending.
fn ascending(value: Option<&Value>) -> Result<bool, Refusal> {
    let list = match value {
        None => return Ok(false),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(Refusal::bad_field("sort", "sort must be an array")),
    };
    let mut order = None;
    for sort in list {
        let (name, sort_order) = pair(sort, "name", "sortOrder").ok_or_else(|| {
            Refusal::bad_field("sort", "A sort must have exactly a name and a sortOrder")
        })?;
        if name != "Timestamp" {
            return Err(Refusal::bad_field(
                "sort",
                format!("The sort name {name} is not valid"),
            ));
        }
        let ascending = match sort_order.as_str() {
            "ascending" => true,
            "descending" => false,
            _ => {
                let message = format!("The sort order {sort_order} is not valid");
                return Err(Refusal::bad_field("sort", message));
            }
        };
        order.get_or_insert(ascending);
    }
    Ok(order.unwrap_or(false))
}

/// The two strings of an object that has these two members and no other.
fn pair(value: &Value, one: &str, other: &str) -> Option<(String, String)> {
    let members = value.as_object().filter(|members| members.len() == 2)?;
    let text = |name: &str| members.get(name)?.as_str().map(str::to_owned);
    Some((text(one)?, text(other)?))
}
