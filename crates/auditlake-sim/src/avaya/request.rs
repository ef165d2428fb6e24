//! Parses searches as strictly as the provider might.

use std::collections::BTreeMap;

use chrono::DateTime;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::catalogue::Service;
use super::problem::{Problem, SIZE};

const DEFAULT_PAGE_SIZE: usize = 5;
const PAGE_SIZES: std::ops::RangeInclusive<usize> = 5..=50;
const LONGEST_TEXT: usize = 255;

/// The sort key of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OrderBy {
    Date,
    Author,
}

/// The query string of a search.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paging {
    pub(super) number: usize,
    pub(super) size: usize,
    pub(super) order: OrderBy,
    pub(super) ascending: bool,
}

/// The body of a search.
#[derive(Debug)]
pub(super) struct SearchFilter {
    /// In microseconds since 1970.
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) kind: &'static str,
    event: Option<String>,
    author: Option<String>,
    ip_address: Option<String>,
    keyword: Option<String>,
}

impl Paging {
    pub(super) fn parse(
        query: &str,
        service: &Service,
        plus_is_space: bool,
    ) -> Result<Self, Problem> {
        let given = parameters(query, plus_is_space)?;
        let number = match given.get("pageNumber") {
            None => 1,
            Some(text) => digits(text).filter(|number| *number >= 1).ok_or_else(|| {
                Problem::violation("pageNumber", "must be greater than or equal to 1", SIZE)
            })?,
        };
        let size = match given.get("pageSize") {
            None => DEFAULT_PAGE_SIZE,
            Some(text) => digits(text)
                .filter(|size| PAGE_SIZES.contains(size))
                .ok_or_else(|| Problem::violation("pageSize", "must be between 5 and 50", SIZE))?,
        };
        let (order, ascending) = match given.get("orderBy") {
            None => (OrderBy::Date, service.ascending_by_default),
            Some(text) if !(4..=service.longest_order).contains(&text.chars().count()) => {
                let message = format!("size must be between 4 and {}", service.longest_order);
                return Err(Problem::violation("orderBy", message, SIZE));
            }
            Some(text) => match text.as_str() {
                "date" | "date asc" => (OrderBy::Date, true),
                "date desc" => (OrderBy::Date, false),
                "author" | "author asc" => (OrderBy::Author, true),
                "author desc" => (OrderBy::Author, false),
                _ => return Err(Problem::pattern("orderBy", "^(date|author)( (asc|desc))?$")),
            },
        };
        Ok(Self {
            number,
            size,
            order,
            ascending,
        })
    }
}

impl SearchFilter {
    pub(super) fn parse(body: &[u8], service: &'static Service) -> Result<Self, Problem> {
        let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
            return Err(Problem::malformed());
        };
        let known = [
            "startDate",
            "endDate",
            "type",
            "event",
            "author",
            "ipAddress",
            "searchKeyword",
        ];
        if members.keys().any(|name| !known.contains(&name.as_str())) {
            return Err(Problem::malformed());
        }
        let kind = required(&members, "type")?;
        let kind = service
            .types
            .iter()
            .find(|known| **known == kind)
            .ok_or_else(Problem::malformed)?;
        let start = instant(required(&members, "startDate")?).ok_or_else(Problem::malformed)?;
        let end = instant(required(&members, "endDate")?).ok_or_else(Problem::malformed)?;
        if end < start {
            // the code is unpublished; the field is the one in the export
            let message = "must not be before startDate";
            return Err(Problem::violation("endDate", message, SIZE));
        }
        let event = optional(&members, "event", LONGEST_TEXT)?;
        if let Some(event) = &event
            && !["CREATED", "UPDATED", "DELETED"].contains(&event.as_str())
        {
            return Err(Problem::malformed());
        }
        let author = optional(&members, "author", LONGEST_TEXT)?;
        if let Some(author) = &author {
            let fits = |c: char| c.is_ascii_alphanumeric() || "@._-".contains(c);
            if author.is_empty() || !author.chars().all(fits) {
                return Err(Problem::pattern("author", "^[a-zA-Z0-9@._-]+$"));
            }
        }
        Ok(Self {
            start,
            end,
            kind,
            event,
            author,
            ip_address: optional(&members, "ipAddress", service.longest_ip)?,
            keyword: optional(&members, "searchKeyword", LONGEST_TEXT)?,
        })
    }

    /// Returns whether a record matches the filters other than type and date.
    pub(super) fn matches(&self, record: &str) -> bool {
        let wanted = [
            ("event", &self.event),
            ("author", &self.author),
            ("ipAddress", &self.ip_address),
        ];
        if self.keyword.is_none() && wanted.iter().all(|(_, value)| value.is_none()) {
            return true;
        }
        let Ok(Value::Object(members)) = serde_json::from_str(record) else {
            return false;
        };
        wanted.into_iter().all(|(name, value)| {
            let shown = members.get(name).and_then(Value::as_str);
            value.as_deref().is_none_or(|value| shown == Some(value))
        }) && self.keyword.as_deref().is_none_or(|keyword| {
            members
                .iter()
                .any(|(name, value)| name != "date" && holds(value, keyword))
        })
    }
}

/// Returns whether any text or number in the value contains the keyword.
fn holds(value: &Value, keyword: &str) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => text.contains(keyword),
        Value::Array(items) => items.iter().any(|item| holds(item, keyword)),
        Value::Object(members) => members.values().any(|member| holds(member, keyword)),
        scalar => scalar.to_string().contains(keyword),
    }
}

/// Parses the parameters; repeated and unknown ones are refused.
fn parameters(query: &str, plus_is_space: bool) -> Result<BTreeMap<&str, String>, Problem> {
    let mut given = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = if plus_is_space {
            value.replace('+', " ")
        } else {
            value.to_owned()
        };
        let value = percent_decode_str(&value).decode_utf8();
        let value = value.map_err(|_| Problem::malformed())?.into_owned();
        let known = ["pageNumber", "pageSize", "orderBy"].contains(&name);
        if !known || given.insert(name, value).is_some() {
            return Err(Problem::bad_request(format!(
                "The query parameter {name} is not expected"
            )));
        }
    }
    Ok(given)
}

fn digits(text: &str) -> Option<usize> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

fn required<'a>(members: &'a Map<String, Value>, name: &str) -> Result<&'a str, Problem> {
    match members.get(name) {
        None | Some(Value::Null) => Err(Problem::null(name)),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Problem::malformed()),
    }
}

fn optional(
    members: &Map<String, Value>,
    name: &str,
    longest: usize,
) -> Result<Option<String>, Problem> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.chars().count() > longest => {
            let message = format!("size must be between 0 and {longest}");
            Err(Problem::violation(name, message, SIZE))
        }
        Some(Value::String(text)) => Ok(Some(text.clone())),
        // the meaning of null is undocumented
        Some(_) => Err(Problem::malformed()),
    }
}

/// Parses `yyyy-MM-dd'T'HH:mm:ss[.SSS]` with `Z` or an offset.
fn instant(text: &str) -> Option<i64> {
    let (date, zone) = text.split_at_checked(19)?;
    let zone = match zone.strip_prefix('.') {
        Some(fraction) => {
            let (millis, zone) = fraction.split_at_checked(3)?;
            millis
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then_some(zone)?
        }
        None => zone,
    };
    let offset = |text: &str| {
        let pattern = text.len() == 6 && text.as_bytes()[3] == b':';
        pattern && text.starts_with(['+', '-'])
    };
    let fits = date.as_bytes()[10] == b'T' && (zone == "Z" || offset(zone));
    let parsed = DateTime::parse_from_rfc3339(text).ok().filter(|_| fits)?;
    Some(parsed.timestamp_micros())
}
