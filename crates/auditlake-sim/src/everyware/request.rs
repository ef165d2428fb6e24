//! Parses queries as strictly as documented.

use chrono::NaiveDate;

use super::dataset::AuditFilter;
use super::settings::{Dates, Stray};

const ACTIONS: [&str; 4] = ["LOGIN", "CREATE", "UPDATE", "DELETE"];

/// Parses a query string. The error is the provider's message.
pub(super) fn filter(query: &str, dates: Dates, stray: Stray) -> Result<AuditFilter, String> {
    if query.contains('/') {
        return Err("Illegal character in query: /".to_owned());
    }
    let mut filter = AuditFilter::default();
    let mut seen = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if seen.contains(&name) {
            return Err(format!("Duplicate parameter: {name}"));
        }
        let value = value.into_owned();
        match name.as_ref() {
            "action" if ACTIONS.contains(&value.as_str()) => filter.action = Some(value),
            "resultCode" if value == "TRUE" || value == "FALSE" => {
                filter.success = Some(value == "TRUE");
            }
            "action" | "resultCode" => return Err(format!("Illegal value of {name}: {value}")),
            "userName" => filter.user = Some(value),
            "startDate" | "stopDate" => {
                let day = match (dates, date(&value)) {
                    (Dates::Ignored, _) => None,
                    (Dates::Strict, None) => {
                        return Err(format!("Unparseable date: \"{value}\""));
                    }
                    (Dates::Strict | Dates::Lenient, day) => day,
                };
                if name == "startDate" {
                    filter.first = day;
                } else {
                    filter.last = day;
                }
            }
            _ if stray == Stray::Refused => return Err(format!("Unknown parameter: {name}")),
            _ => {}
        }
        seen.push(name);
    }
    Ok(filter)
}

/// Parses a day of the form `mm/dd/yyyy`, including leading zeros.
fn date(text: &str) -> Option<NaiveDate> {
    let digits = |part: &str, count: usize| {
        (part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| part.parse::<u32>().ok())
            .flatten()
    };
    let mut parts = text.split('/');
    let month = digits(parts.next()?, 2)?;
    let day = digits(parts.next()?, 2)?;
    let year = digits(parts.next()?, 4)?;
    if parts.next().is_some() {
        return None;
    }
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
}
