//! Ranges of records without ids, which are read to their end before any record lands.
//!
//! Such records are distinguished by their content, and equal records by their number. Equal rows on one page are
//! different events. Equal rows on two pages may be one row that moved, as rows of the same instant have no defined
//! order; another row was then missed. Therefore the range is read again with different page boundaries: an instant
//! whose rows are all on one page is complete. See docs/decisions/0005-occurrences-of-equal-records.md.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

use crate::model::{Timestamp, hex};
use crate::providers::Page;
use crate::table::canonical_hash;
use crate::text;

/// The number of reads after which a range counts as too large to be stable.
pub(super) const READINGS: u32 = 3;
/// The maximum size of a range's text in bytes; all of it is held until the end.
pub(super) const CAP: usize = 64 << 20;

/// The result of all reads of a range.
#[derive(Debug, Default)]
pub(super) struct RepeatedRead {
    /// The indices in `seen`, by the hash of the content.
    places: HashMap<String, usize>,
    seen: Vec<SeenRecord>,
    bytes: usize,
    total: Option<u64>,
    total_binds: bool,
    moved: bool,
    rows: u64,
    /// The first page's remarks, if any page had remarks.
    remark: Option<String>,
    /// The first and last record of each page of this read.
    edges: Vec<(usize, usize)>,
    readings: u32,
}

/// A record and its number of occurrences.
#[derive(Debug)]
struct SeenRecord {
    /// The hash; `None` for a record that can't become a row.
    id: Option<String>,
    /// The texts as received, as many as any read returned.
    raws: Vec<String>,
    /// The bytes of each occurrence, if they aren't UTF-8.
    foreign: Option<Vec<u8>>,
    /// The largest number on one page of any read, which is a lower bound.
    on_one_page: usize,
    /// The number in the last read in which no page boundary was at this record's instant, which is exact.
    certain: Option<usize>,
    /// The number in this read, and the number of its pages with the record.
    now: usize,
    pages_now: usize,
    /// The number in the previous read.
    before: usize,
}

/// The result of a read.
#[derive(Debug)]
pub(super) enum ReadVerdict {
    /// The range's rows with the right number of occurrences and ids (`None` for a record that can't become a row).
    Rows(Page, Vec<Option<String>>),
    /// The range has to be read again, for this reason.
    Again(String),
}

impl RepeatedRead {
    /// Adds the next page of this read; `stable_content` returns the content that is stable between reads. Returns `false` if
    /// the range has more text than can be held.
    pub(super) fn take(
        &mut self,
        page: &Page,
        stable_content: impl for<'r> Fn(&'r str) -> Cow<'r, str>,
    ) -> bool {
        if page.total_binds {
            self.moved |= self
                .total
                .is_some_and(|total| page.total.is_some_and(|now| now != total));
        }
        self.total_binds |= page.total_binds;
        self.total = page.total.or(self.total);
        self.remark = self.remark.take().or_else(|| page.remark.clone());
        self.rows += page.records.len() as u64;
        let mut on_page: HashMap<usize, usize> = HashMap::new();
        let mut edge = None;
        for (number, span) in page.records.iter().enumerate() {
            let raw = &page.text[span.clone()];
            let foreign = page.foreign.get(&number);
            let place = self.place(raw, &stable_content(raw), foreign);
            edge = Some((edge.map_or(place, |(first, _)| first), place));
            *on_page.entry(place).or_default() += 1;
        }
        self.edges.extend(edge);
        for (place, count) in on_page {
            let seen = &mut self.seen[place];
            seen.on_one_page = seen.on_one_page.max(count);
            seen.pages_now += 1;
        }
        self.bytes <= CAP
    }

    fn place(&mut self, raw: &str, stable_content: &str, foreign: Option<&Vec<u8>>) -> usize {
        let id = match foreign {
            None => canonical_hash(stable_content).ok(),
            Some(_) => None,
        };
        let bytes = foreign.map_or(raw.as_bytes(), Vec::as_slice);
        let key = id
            .clone()
            .unwrap_or_else(|| format!("unreadable {}", hex(&Sha256::digest(bytes))));
        let next = self.seen.len();
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            self.seen.push(SeenRecord {
                id,
                raws: Vec::new(),
                foreign: foreign.cloned(),
                on_one_page: 0,
                certain: None,
                now: 0,
                pages_now: 0,
                before: 0,
            });
        }
        let seen = &mut self.seen[place];
        seen.now += 1;
        if seen.now > seen.raws.len() {
            self.bytes += raw.len();
            seen.raws.push(raw.to_owned());
        }
        place
    }

    /// Ends the read. `time_of` returns a record's event time, if it can be parsed.
    ///
    /// A single read is accepted if the provider's count didn't change and no record was on two pages, because then no
    /// record was missed. Otherwise, the number of a record's occurrences is that of the last read without a page
    /// boundary at its instant. If all reads had one, it is the number on one page, or finally the number in the last
    /// two reads if they are equal: a record that moved may hide one that was missed. The result is accepted if
    /// it adds up to the provider's count, or if two equal reads exceed it. If the provider counts more, it may return
    /// the rest only for a smaller range, so nothing is accepted.
    pub(super) fn end_of_reading(
        &mut self,
        time_of: impl Fn(&str) -> Option<Timestamp>,
    ) -> ReadVerdict {
        self.readings += 1;
        let counted = self.total.filter(|_| self.total_binds).unwrap_or(self.rows);
        let is_split = |seen: &SeenRecord| seen.pages_now > 1;
        let split = self.seen.iter().filter(|seen| is_split(seen)).count();
        if !self.moved && split == 0 && counted == self.rows {
            return self.rows(|seen| seen.now, None);
        }
        let times: Vec<Option<Timestamp>> = (self.seen.iter())
            .map(|seen| seen.raws.first().and_then(|raw| time_of(raw)))
            .collect();
        let cut_at = self.cut_at(&times);
        // in the order of time, a row is on two pages only at their boundary
        let has_moved = |(seen, time): (&SeenRecord, &Option<Timestamp>)| {
            is_split(seen) && time.is_some() && !cut_at.contains(time)
        };
        self.moved |= self.seen.iter().zip(&times).any(has_moved);
        if !self.moved {
            // a read with fewer rows than the provider counts is complete for no instant
            for (seen, time) in self.seen.iter_mut().zip(&times) {
                if !cut_at.contains(time) && self.rows >= counted {
                    seen.certain = Some(seen.now);
                }
            }
            let is_alike = |seen: &SeenRecord| seen.now == seen.before;
            // an instant with more rows than fit on a page always has a boundary, so its reads have to be equal
            let agreed = self.readings == READINGS
                && (self.seen.iter()).all(|seen| seen.certain.is_some() || is_alike(seen));
            let sure = |seen: &SeenRecord| match seen.certain {
                Some(certain) => certain,
                None if agreed => seen.now,
                None => seen.on_one_page,
            };
            if self.seen.iter().map(|seen| sure(seen) as u64).sum::<u64>() == counted {
                return self.rows(sure, None);
            }
            let all_alike = self.readings > 1 && self.seen.iter().all(is_alike);
            if all_alike && counted < self.rows {
                let remark = format!(
                    "the provider counts {counted} records but returns {}",
                    self.rows
                );
                return self.rows(|seen| seen.now, Some(remark));
            }
        }
        let why = if self.moved {
            "records were added or removed while the pages were read".to_owned()
        } else if counted == self.rows {
            format!(
                "{} found on more than one page",
                text::counted(split as u64, "record")
            )
        } else {
            format!(
                "the provider counts {counted} records but returns {}",
                self.rows
            )
        };
        for seen in &mut self.seen {
            seen.before = std::mem::take(&mut seen.now);
            seen.pages_now = 0;
        }
        (self.total, self.moved, self.rows) = (None, false, 0);
        self.edges.clear();
        ReadVerdict::Again(why)
    }

    /// Returns the instants at the page boundaries of this read. Next to a record whose time can't be parsed, both
    /// neighbours count.
    fn cut_at(&self, times: &[Option<Timestamp>]) -> HashSet<Option<Timestamp>> {
        let mut cut_at = HashSet::new();
        for pages in self.edges.windows(2) {
            if let [(_, last), (first, _)] = pages {
                let (before, behind) = (times[*last], times[*first]);
                if before == behind || before.is_none() || behind.is_none() {
                    cut_at.extend([before, behind]);
                }
            }
        }
        cut_at
    }

    /// Returns all rows as one page, with equal records numbered.
    fn rows(
        &mut self,
        count: impl Fn(&SeenRecord) -> usize,
        remark: Option<String>,
    ) -> ReadVerdict {
        let remarks = remark.into_iter().chain(self.remark.take());
        let remark = remarks.reduce(|all, remark| format!("{all}; {remark}"));
        let mut page = Page {
            total: self.total,
            total_binds: self.total_binds,
            remark,
            ..Page::default()
        };
        let mut ids = Vec::new();
        for seen in std::mem::take(&mut self.seen) {
            for (index, raw) in seen.raws.iter().take(count(&seen)).enumerate() {
                let from = page.text.len();
                page.text.push_str(raw);
                if let Some(bytes) = &seen.foreign {
                    page.foreign.insert(page.records.len(), bytes.clone());
                }
                page.records.push(from..page.text.len());
                ids.push(seen.id.as_ref().map(|id| occurrence_id(id, index + 1)));
            }
        }
        ReadVerdict::Rows(page, ids)
    }
}

/// Returns the id of the first, second, … of equal records.
pub(super) fn occurrence_id(hash: &str, number: usize) -> String {
    if number == 1 {
        hash.to_owned()
    } else {
        format!("{hash}#{number}")
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::collections::BTreeMap;

    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    /// records are written as `[second,name]`
    fn time_of(raw: &str) -> Option<Timestamp> {
        let (second, _): (i64, i64) = serde_json::from_str(raw).ok()?;
        DateTime::from_timestamp(second, 0)
    }

    fn page(records: &[&str], total: Option<u64>) -> Page {
        let mut page = Page {
            total,
            total_binds: total.is_some(),
            ..Page::default()
        };
        for record in records {
            let from = page.text.len();
            page.text.push_str(record);
            page.records.push(from..page.text.len());
        }
        page
    }

    type Rows = BTreeMap<String, usize>;

    fn rows(list: &[(&str, usize)]) -> Rows {
        list.iter()
            .map(|(row, count)| ((*row).to_owned(), *count))
            .collect()
    }

    /// Returns the content of a page; each row has its own id.
    fn taken(page: Page, ids: Vec<Option<String>>) -> Rows {
        assert_eq!(page.records.len(), ids.len());
        let mut ids: Vec<String> = ids.into_iter().flatten().collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), page.records.len());
        let mut rows = Rows::new();
        for span in page.records {
            *rows.entry(page.text[span].to_owned()).or_default() += 1;
        }
        rows
    }

    /// A read: its pages, all with the provider's count.
    fn read(whole: &mut RepeatedRead, pages: &[&[&str]], total: Option<u64>) -> Option<Rows> {
        for records in pages {
            assert!(whole.take(&page(records, total), |raw| Cow::Borrowed(raw)));
        }
        match whole.end_of_reading(time_of) {
            ReadVerdict::Again(_) => None,
            ReadVerdict::Rows(page, ids) => Some(taken(page, ids)),
        }
    }

    #[test]
    fn a_range_that_stood_still_is_read_once() {
        let all = rows(&[("[1,0]", 1), ("[2,0]", 2), ("[3,0]", 1)]);
        for total in [None, Some(4)] {
            let pages: [&[&str]; 2] = [&["[1,0]", "[2,0]", "[2,0]"], &["[3,0]"]];
            assert_eq!(
                read(&mut RepeatedRead::default(), &pages, total),
                Some(all.clone())
            );
        }
        // rows of one instant on two pages, none of them on both
        let pages: [&[&str]; 2] = [&["[1,0]", "[2,0]"], &["[2,1]"]];
        let all = rows(&[("[1,0]", 1), ("[2,0]", 1), ("[2,1]", 1)]);
        assert_eq!(
            read(&mut RepeatedRead::default(), &pages, Some(3)),
            Some(all)
        );
        assert_eq!(
            read(&mut RepeatedRead::default(), &[&[]], Some(0)),
            Some(rows(&[]))
        );
        assert_eq!(
            read(&mut RepeatedRead::default(), &[], None),
            Some(rows(&[]))
        );
    }

    #[test]
    fn equal_rows_on_two_pages_are_twins_if_they_are_on_one_page_of_another_reading() {
        for total in [None, Some(4)] {
            let mut whole = RepeatedRead::default();
            assert_eq!(
                read(
                    &mut whole,
                    &[&["[1,0]", "[2,0]"], &["[2,0]", "[3,0]"]],
                    total
                ),
                None
            );
            let other = read(
                &mut whole,
                &[&["[1,0]", "[2,0]", "[2,0]"], &["[3,0]"]],
                total,
            );
            assert_eq!(
                other,
                Some(rows(&[("[1,0]", 1), ("[2,0]", 2), ("[3,0]", 1)]))
            );
        }
    }

    #[test]
    fn a_row_that_moved_is_one_and_the_one_passed_over_is_found() {
        let moved: [&[&str]; 2] = [&["[1,0]", "[2,0]"], &["[2,0]", "[4,0]"]];
        let all = rows(&[("[1,0]", 1), ("[2,0]", 1), ("[2,1]", 1), ("[4,0]", 1)]);
        for total in [None, Some(4)] {
            let mut whole = RepeatedRead::default();
            assert_eq!(read(&mut whole, &moved, total), None);
            let other: [&[&str]; 2] = [&["[1,0]", "[2,0]", "[2,1]"], &["[4,0]"]];
            assert_eq!(read(&mut whole, &other, total), Some(all.clone()));

            // neither read is complete, but both together are
            let mut whole = RepeatedRead::default();
            assert_eq!(read(&mut whole, &moved, total), None);
            let other: [&[&str]; 2] = [&["[1,0]", "[2,1]"], &["[2,1]", "[4,0]"]];
            assert_eq!(read(&mut whole, &other, total), Some(all.clone()));
        }
    }

    #[test]
    fn two_readings_with_the_same_mistake_are_not_enough() {
        let mut whole = RepeatedRead::default();
        let mistaken: [&[&str]; 2] = [&["[1,0]", "[2,0]"], &["[2,0]", "[4,0]"]];
        for _ in 0..2 {
            assert_eq!(read(&mut whole, &mistaken, Some(4)), None);
        }
        let other: [&[&str]; 2] = [&["[1,0]"], &["[2,1]", "[2,0]", "[4,0]"]];
        let all = rows(&[("[1,0]", 1), ("[2,0]", 1), ("[2,1]", 1), ("[4,0]", 1)]);
        assert_eq!(read(&mut whole, &other, Some(4)), Some(all));
    }

    #[test]
    fn more_rows_of_an_instant_than_fit_on_a_page_count_if_the_last_readings_are_alike() {
        let occurrences: [&[&str]; 3] = [&["[2,0]", "[2,0]"], &["[2,0]", "[2,1]"], &["[2,0]"]];
        let mut whole = RepeatedRead::default();
        for _ in 1..READINGS {
            assert_eq!(read(&mut whole, &occurrences, None), None);
        }
        assert_eq!(
            read(&mut whole, &occurrences, None),
            Some(rows(&[("[2,0]", 4), ("[2,1]", 1)]))
        );
        let mut whole = RepeatedRead::default();
        let other: [&[&str]; 3] = [&["[2,0]", "[2,1]"], &["[2,0]", "[2,1]"], &["[2,0]"]];
        for pages in [occurrences, other, occurrences] {
            assert_eq!(read(&mut whole, &pages, None), None);
        }
    }

    #[test]
    fn a_count_that_changes_means_another_reading() {
        let mut whole = RepeatedRead::default();
        let changing = |whole: &mut RepeatedRead| {
            for (records, total) in [(["[1,0]", "[2,0]"], 3), (["[3,0]", "[4,0]"], 4)] {
                assert!(whole.take(&page(&records, Some(total)), |raw| Cow::Borrowed(raw)));
            }
            matches!(whole.end_of_reading(time_of), ReadVerdict::Again(_))
        };
        assert!(changing(&mut whole));
        let all = rows(&[("[0,0]", 1), ("[1,0]", 1), ("[2,0]", 1), ("[3,0]", 1)]);
        let steady: [&[&str]; 2] = [&["[0,0]", "[1,0]"], &["[2,0]", "[3,0]"]];
        assert_eq!(read(&mut whole, &steady, Some(4)), Some(all));
        let mut whole = RepeatedRead::default();
        for _ in 0..READINGS {
            assert!(changing(&mut whole));
        }
    }

    #[test]
    fn rows_that_move_by_more_than_one_place_are_noticed_without_a_count() {
        let mut whole = RepeatedRead::default();
        let pushed: [&[&str]; 2] = [&["[1,0]", "[2,0]", "[3,0]"], &["[2,0]", "[3,0]", "[4,0]"]];
        assert_eq!(read(&mut whole, &pushed, None), None);
        assert_eq!(read(&mut whole, &pushed, None), None);
        let steady: [&[&str]; 2] = [&["[0,0]", "[0,1]", "[1,0]"], &["[2,0]", "[3,0]", "[4,0]"]];
        assert_eq!(
            read(&mut whole, &steady, None)
                .unwrap()
                .values()
                .sum::<usize>(),
            6
        );
    }

    #[test]
    fn a_count_that_is_too_low_twice_alike_is_told() {
        let mut whole = RepeatedRead::default();
        let pages: [&[&str]; 1] = [&["[1,0]", "[2,0]"]];
        assert_eq!(read(&mut whole, &pages, Some(1)), None);
        assert!(whole.take(&page(pages[0], Some(1)), |raw| Cow::Borrowed(raw)));
        let ReadVerdict::Rows(page, ids) = whole.end_of_reading(time_of) else {
            panic!("both readings agree");
        };
        let remark = page.remark.clone();
        assert_eq!(taken(page, ids), rows(&[("[1,0]", 1), ("[2,0]", 1)]));
        assert_eq!(
            remark.unwrap(),
            "the provider counts 1 records but returns 2"
        );
    }

    #[test]
    fn what_is_counted_and_never_shown_is_a_gap() {
        let mut whole = RepeatedRead::default();
        for pages in [&[&["[1,0]", "[2,0]"][..]][..], &[&["[1,0]"], &["[2,0]"]]] {
            for _ in 0..2 {
                assert_eq!(read(&mut whole, pages, Some(3)), None);
            }
        }
        let mut whole = RepeatedRead::default();
        for _ in 0..READINGS {
            assert_eq!(read(&mut whole, &[&[]], Some(3)), None);
        }
    }

    #[test]
    fn what_a_page_says_of_itself_is_handed_on() {
        let mut whole = RepeatedRead::default();
        for (record, remark) in [
            ("[1,0]", None),
            ("[2,0]", Some("odd")),
            ("[3,0]", Some("too")),
        ] {
            let page = Page {
                remark: remark.map(str::to_owned),
                ..page(&[record], Some(2))
            };
            assert!(whole.take(&page, |raw| Cow::Borrowed(raw)));
        }
        assert_eq!(whole.remark.as_deref(), Some("odd"));
        let verdict = whole.end_of_reading(time_of);
        assert!(matches!(verdict, ReadVerdict::Again(_)));
        let records = ["[1,0]", "[2,0]", "[3,0]"];
        assert!(whole.take(&page(&records, Some(2)), |raw| Cow::Borrowed(raw)));
        let ReadVerdict::Rows(page, _) = whole.end_of_reading(time_of) else {
            panic!("both readings agree");
        };
        let remark = page.remark.unwrap();
        assert_eq!(remark, "the provider counts 2 records but returns 3; odd");
    }

    #[test]
    fn what_has_no_hash_is_handed_on_without_an_id() {
        let mut whole = RepeatedRead::default();
        let broken = r#""\ud800""#;
        let records = [broken, broken, "[1,0]"];
        assert!(whole.take(&page(&records, None), |raw| Cow::Borrowed(raw)));
        let ReadVerdict::Rows(page, ids) = whole.end_of_reading(time_of) else {
            panic!("nothing is on two pages");
        };
        assert_eq!(page.records.len(), 3);
        assert_eq!(ids.iter().flatten().count(), 1);
    }

    #[test]
    fn readings_that_each_leave_something_out_are_put_together() {
        let mut whole = RepeatedRead::default();
        let (one, other): ([&[&str]; 1], [&[&str]; 1]) =
            ([&["[1,0]", "[2,0]"]], [&["[1,0]", "[3,0]"]]);
        assert_eq!(read(&mut whole, &one, Some(3)), None);
        let all = rows(&[("[1,0]", 1), ("[2,0]", 1), ("[3,0]", 1)]);
        assert_eq!(read(&mut whole, &other, Some(3)), Some(all));
    }

    #[test]
    fn equal_records_without_a_time_may_be_anywhere() {
        let pages: [&[&str]; 2] = [&["null", "[1,0]"], &["[2,0]", "null"]];
        let all = rows(&[("null", 2), ("[1,0]", 1), ("[2,0]", 1)]);
        assert_eq!(read(&mut RepeatedRead::default(), &pages, None), Some(all));
        // next to such a record, a row on two pages hasn't necessarily moved
        let mut whole = RepeatedRead::default();
        let pages: [&[&str]; 2] = [&["[1,0]", "[2,0]"], &["null", "[2,0]"]];
        for _ in 1..READINGS {
            assert_eq!(read(&mut whole, &pages, None), None);
        }
        let all = rows(&[("null", 1), ("[1,0]", 1), ("[2,0]", 2)]);
        assert_eq!(read(&mut whole, &pages, None), Some(all));
    }

    #[test]
    fn what_two_readings_have_in_common_counts() {
        let mut whole = RepeatedRead::default();
        let page_of_two = page(&["[1,0]", "[1,9]"], None);
        assert!(whole.take(&page_of_two, |raw| Cow::Borrowed(&raw[1..2])));
        let ReadVerdict::Rows(page, ids) = whole.end_of_reading(time_of) else {
            panic!("nothing is on two pages");
        };
        assert_eq!(page.text, "[1,0][1,9]");
        let first = ids[0].as_deref().unwrap();
        assert_eq!(ids[1].as_deref(), Some(occurrence_id(first, 2).as_str()));
    }

    #[test]
    fn a_range_has_a_cap() {
        let half = format!("\"{}\"", "x".repeat(CAP / 2));
        let mut whole = RepeatedRead::default();
        assert!(whole.take(&page(&[&half], None), |raw| Cow::Borrowed(raw)));
        assert!(!whole.take(&page(&[&half], None), |raw| Cow::Borrowed(raw)));
    }

    /// Returns a page of a list in the order of time, whose rows of the same instant are ordered by the seed.
    fn cut(times: &[(i64, u8)], seed: u64, size: usize, number: usize) -> Vec<String> {
        let mut list: Vec<(i64, u64, u8)> = (0_u64..)
            .zip(times)
            .map(|(index, (time, name))| {
                (
                    *time,
                    (seed ^ index).wrapping_mul(0x9e37_79b9_7f4a_7c15),
                    *name,
                )
            })
            .collect();
        list.sort_unstable();
        let page = list.iter().skip(number * size).take(size);
        page.map(|(time, _, name)| format!("[{time},{name}]"))
            .collect()
    }

    proptest! {
        /// Rows of the same instant, including equal ones, are reordered for every page. If each instant is complete on
        /// a page of some read, the accepted result is correct.
        #[test]
        fn whatever_moves_within_an_instant_the_truth_is_found(
            times in prop::collection::vec((0_i64..12, 0_u8..3), 0..30),
            sizes in [3_usize..12, 3..12, 3..12],
            seeds in prop::collection::vec(any::<u64>(), 33),
            counted in any::<bool>(),
        ) {
            let mut truth = Rows::new();
            let mut groups: BTreeMap<i64, usize> = BTreeMap::new();
            for (time, name) in &times {
                *truth.entry(format!("[{time},{name}]")).or_default() += 1;
                *groups.entry(*time).or_default() += 1;
            }
            let total = counted.then_some(times.len() as u64);
            let mut whole = RepeatedRead::default();
            let mut known: HashSet<i64> = HashSet::new();
            for (reading, size) in sizes.into_iter().enumerate() {
                let mut offset = 0;
                for (time, count) in &groups {
                    if offset / size == (offset + count - 1) / size {
                        known.insert(*time);
                    }
                    offset += count;
                }
                let pages: Vec<Vec<String>> =
                    (0..=times.len() / size).map(|number| cut(&times, seeds[reading * 11 + number], size, number)).collect();
                let pages: Vec<Vec<&str>> =
                    pages.iter().map(|page| page.iter().map(String::as_str).collect()).collect();
                let pages: Vec<&[&str]> = pages.iter().map(Vec::as_slice).collect();
                if let Some(rows) = read(&mut whole, &pages, total) {
                    if known.len() == groups.len() || reading + 1 < sizes.len() {
                        prop_assert_eq!(rows, truth);
                    }
                    return Ok(());
                }
                prop_assert!(known.len() < groups.len() || reading == 0, "all was known");
            }
        }
    }
}
