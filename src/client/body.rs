//! Reading bodies within a size limit, and excerpts of error bodies for messages.

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use tokio::time::error::Elapsed;
use url::Url;

use super::error::Cause;
use crate::foreign;
use crate::secret::Redactor;

/// The size of an error's body that is read, in bytes.
pub(super) const ERROR_CAP: u64 = 64 * 1024;

/// The length of the excerpt in characters.
const EXCERPT: usize = 200;

/// The reason why a body can't be read.
#[derive(Debug)]
pub(super) enum BodyError {
    TooLarge,
    Broken(reqwest::Error),
    Late(Elapsed),
    /// It is compressed and can't be decompressed.
    Packed(Cause),
}

/// Reads the whole body. Fails before reading if its announced length exceeds the limit, or as soon as it does.
pub(super) async fn read(mut response: reqwest::Response, cap: u64) -> Result<Bytes, BodyError> {
    let announced = response.content_length().unwrap_or(0);
    if announced > cap {
        return Err(BodyError::TooLarge);
    }
    // an announced length is only trusted up to a limit
    let room = usize::try_from(announced.min(1 << 20)).unwrap_or(0);
    let mut body = BytesMut::with_capacity(room);
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Broken)? {
        if body.len() as u64 + chunk.len() as u64 > cap {
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Reads as much of an error's body as is available, up to a limit.
pub(super) async fn read_some(mut response: reqwest::Response) -> Bytes {
    let mut body = BytesMut::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() as u64 > ERROR_CAP {
            break;
        }
    }
    body.freeze()
}

/// Redacts a URL's query and its values, except short ones that aren't secret.
pub(super) fn hidden_query(url: &Url) -> Redactor {
    let values: Vec<String> = url
        .query_pairs()
        .map(|(_, value)| value.into_owned())
        .chain(url.query().map(str::to_owned))
        .filter(|text| text.len() >= 8)
        .collect();
    Redactor::new(values.iter().map(String::as_str))
}

/// Returns a short printable excerpt of an error's body: the provider's message, code and correlation id for JSON, the
/// title of a page, or its beginning.
pub(super) fn excerpt(body: &[u8], hidden: &Redactor) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    if let Ok(Value::Object(error)) = serde_json::from_str(&text)
        && let Some(message) = from_json(&error, hidden)
    {
        return Some(message);
    }
    let text = hidden.apply(&text);
    if text.trim_start().starts_with('<') {
        let message = ["title", "message", "h1"]
            .into_iter()
            .find_map(|tag| element(&text, tag).and_then(clean))?;
        return Some(format!("`{message}`"));
    }
    clean(&text).map(|message| format!("`{message}`"))
}

fn from_json(error: &serde_json::Map<String, Value>, hidden: &Redactor) -> Option<String> {
    // {"error": {"message": ..., "code": ...}} has the same members one level down
    if let Some(Value::Object(inner)) = error.get("error") {
        return from_json(inner, hidden);
    }
    let first = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| match error.get(*name)? {
                Value::String(text) => clean(&hidden.apply(text)),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            })
            .map(|text| format!("`{text}`"))
    };
    let message = first(&[
        "message",
        "error_description",
        "description",
        "detail",
        "title",
    ]);
    let code = first(&["code", "error", "errorCode", "internalCode"]);
    let context = first(&["contextId", "correlationId", "traceId"]);
    let aside = match (&code, &context) {
        (Some(code), Some(context)) => format!("code {code}, context {context}"),
        (Some(code), None) => format!("code {code}"),
        (None, Some(context)) => format!("context {context}"),
        (None, None) => return message,
    };
    Some(message.map_or_else(|| aside.clone(), |message| format!("{message} ({aside})")))
}

/// Returns whether a body is an HTML page instead of the requested JSON.
pub(super) fn is_page(body: &[u8]) -> bool {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    body.trim_ascii_start().starts_with(b"<")
}

/// Returns the text of the first such element.
fn element<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    let lower = text.to_ascii_lowercase();
    let open = lower.find(&format!("<{tag}"))?;
    let from = open + lower[open..].find('>')? + 1;
    let to = from + lower[from..].find('<')?;
    Some(&text[from..to])
}

/// Returns one line of printable characters without a full stop at its end; `None` if it is empty.
fn clean(text: &str) -> Option<String> {
    let printable: String = foreign::line(text)
        .chars()
        .map(|character| match character {
            '`' => '\'',
            char::REPLACEMENT_CHARACTER => ' ',
            _ => character,
        })
        .collect();
    let words: Vec<&str> = printable.split_whitespace().collect();
    let line: String = words.join(" ").chars().take(EXCERPT).collect();
    let line = line.trim_end_matches('.').trim_end();
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn message(body: &str) -> String {
        excerpt(body.as_bytes(), &Redactor::default()).unwrap_or_default()
    }

    #[test]
    fn an_error_says_what_the_provider_says() {
        insta::assert_snapshot!(message(r#"{"message":"Rate limit exceeded the maximum. Retry the request in [5] seconds.","code":"too.many.requests.retry.after","status":429,"contextId":"c-1","details":[]}"#), @"`Rate limit exceeded the maximum. Retry the request in [5] seconds` (code `too.many.requests.retry.after`, context `c-1`)");
        insta::assert_snapshot!(message(r#"{"error":"invalid_client","description":"client not found"}"#), @"`client not found` (code `invalid_client`)");
        insta::assert_snapshot!(message(r#"{"error":{"message":"no","code":7}}"#), @"`no` (code `7`)");
        insta::assert_snapshot!(message(r#"{"message":null,"code":"x"}"#), @"code `x`");
        insta::assert_snapshot!(message("<html><head><TITLE lang=en>502 Bad\n Gateway.</TITLE></head><body>long</body></html>"), @"`502 Bad Gateway`");
        insta::assert_snapshot!(message("<?xml?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"), @"`Request has expired`");
        insta::assert_snapshot!(message("up`stream\u{7}\n\ngone"), @"`up'stream gone`");
        assert_eq!(message("  \n"), "");
        assert_eq!(message("<html></html>"), "");
        assert_eq!(message(&"é".repeat(900)).chars().count(), EXCERPT + 2);
        assert_eq!(excerpt(&[0xff, 0xfe], &Redactor::default()), None);
    }

    #[test]
    fn an_echoed_secret_is_hidden_in_every_form() {
        let hidden = Redactor::new(["s3cr&t/+", "a\"b\\c"]);
        for form in [
            "s3cr&t/+",
            "czNjciZ0Lys=",
            "s3cr%26t%2F%2B",
            "a\"b\\c",
            r#"a\"b\\c"#,
        ] {
            for body in [
                format!("bad {form}!"),
                serde_json::json!({ "message": format!("bad {form}!") }).to_string(),
                format!("<title>bad {form}!</title>"),
            ] {
                let message = excerpt(body.as_bytes(), &hidden).unwrap();
                assert!(!message.contains(form), "{message}");
            }
        }
    }
}
