//! The bodies of pages, assembled from the records' own bytes.

use std::io::Write as _;

use flate2::write::GzEncoder;
use serde_json::Value;

use super::Dataset;
use super::dataset::RecordPlace;
use super::settings::{DownloadShape, Totals};

/// The text of a cursor in a body.
#[derive(Debug, Clone)]
pub(super) enum CursorText {
    Next(String),
    Null,
    Empty,
    Absent,
}

impl CursorText {
    fn member(&self) -> Option<String> {
        match self {
            Self::Next(cursor) => Some(format!(r#""cursor":{}"#, Value::from(cursor.as_str()))),
            Self::Null => Some(r#""cursor":null"#.to_owned()),
            Self::Empty => Some(r#""cursor":"""#.to_owned()),
            Self::Absent => None,
        }
    }
}

/// Returns a page of a query's results. The layout depends on `serial`; the records' bytes don't.
pub(super) fn results(
    id: &str,
    page_size: usize,
    cursor: &CursorText,
    entities: &str,
    serial: u64,
) -> String {
    let mut members = vec![
        format!(r#""id":"{id}""#),
        format!(r#""pageSize":{page_size}"#),
    ];
    members.extend(cursor.member());
    let records = format!(r#""entities":{entities}"#);
    if serial.is_multiple_of(2) {
        members.push(records);
    } else {
        members.insert(0, records);
    }
    if serial % 4 == 3 {
        members.push(r#""generatedBy":{"entities":[],"cursor":"not this one"}"#.to_owned());
    }
    if serial % 3 == 1 {
        format!("{{\n  {}\n}}\n", members.join(",\n  "))
    } else {
        format!("{{{}}}", members.join(","))
    }
}

/// Returns the answer that refers to a download.
pub(super) fn large_results(
    id: &str,
    page_size: usize,
    cursor: &CursorText,
    url: Option<&str>,
) -> String {
    let mut members = vec![
        format!(r#""id":"{id}""#),
        format!(r#""pageSize":{page_size}"#),
    ];
    members.extend(cursor.member());
    members.extend(url.map(|url| format!(r#""downloadUrl":{}"#, Value::from(url))));
    format!("{{{}}}", members.join(","))
}

/// Returns a page of the realtime query.
pub(super) fn realtime(
    entities: &str,
    page_size: usize,
    page_number: usize,
    total: usize,
    totals: Totals,
) -> String {
    let page_count = total.div_ceil(page_size);
    let totals = match totals {
        Totals::Shown => format!(r#","total":{total},"pageCount":{page_count}"#),
        Totals::Null => r#","total":null,"pageCount":null"#.to_owned(),
        Totals::LeftOut => String::new(),
    };
    format!(
        r#"{{"entities":{entities},"pageSize":{page_size},"pageNumber":{page_number}{totals}}}"#
    )
}

/// Returns a JSON list of records.
pub(super) fn list(
    dataset: &Dataset,
    places: impl Iterator<Item = RecordPlace>,
    expanded: bool,
) -> String {
    let mut out = String::from("[");
    for (number, place) in places.enumerate() {
        if number > 0 {
            // line breaks only between some records
            out.push_str(if number % 5 == 0 { ",\n" } else { "," });
        }
        push(&mut out, dataset, place, expanded);
    }
    out.push(']');
    out
}

/// Returns the uncompressed content of a download.
pub(super) fn download(
    dataset: &Dataset,
    places: impl Iterator<Item = RecordPlace>,
    expanded: bool,
    shape: DownloadShape,
) -> Vec<u8> {
    match shape {
        DownloadShape::Object => {
            format!(r#"{{"entities":{}}}"#, list(dataset, places, expanded)).into_bytes()
        }
        DownloadShape::Array => list(dataset, places, expanded).into_bytes(),
        DownloadShape::Lines => {
            let mut out = String::new();
            for place in places {
                push(&mut out, dataset, place, expanded);
                out.push('\n');
            }
            out.into_bytes()
        }
        DownloadShape::Garbage => {
            b"PAR1\x15\x04\x15\xfe\x00\xff\x1f\x8c not what was asked for \x00\xc3\x28".to_vec()
        }
    }
}

pub(super) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    match encoder.write_all(content) {
        Ok(()) => encoder.finish().unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

fn push(out: &mut String, dataset: &Dataset, place: RecordPlace, expanded: bool) {
    let (head, tail) = dataset.at(place).content.pieces(expanded);
    out.push_str(head);
    out.push_str(tail);
}
