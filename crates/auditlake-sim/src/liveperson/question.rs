//! The meaning of a GraphQL query, or all of its errors.

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::graphql::{self, Literal, RootField};
use super::row::{ACTION_TYPE, Language, field};
use super::settings::{ListForm, LivePersonSettings};

/// A valid query; missing arguments have the provider's defaults.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) from: Option<NaiveDate>,
    pub(super) to: Option<NaiveDate>,
    pub(super) first: usize,
    pub(super) offset: usize,
    pub(super) ascending: bool,
    pub(super) users: Option<Vec<String>>,
    pub(super) component_types: Option<Vec<String>>,
    pub(super) language: Language,
    pub(super) timezone: Tz,
    pub(super) lpa: bool,
    pub(super) automatic_updates: bool,
    /// In the requested order.
    pub(super) columns: Vec<&'static str>,
}

impl Question {
    /// Parses a text. The errors are the provider's messages: a single syntax error, or all validation errors.
    pub(super) fn parse(text: &str, settings: &LivePersonSettings) -> Result<Self, Vec<String>> {
        let root = graphql::parse(text).map_err(|wrong| vec![wrong])?;
        let mut reading = Reading {
            settings,
            wrong: Vec::new(),
        };
        let columns = reading.columns(&root);
        let mut question = Self {
            from: None,
            to: None,
            first: 50,
            offset: 0,
            ascending: false,
            users: None,
            component_types: None,
            language: Language::English,
            timezone: Tz::US__Eastern,
            lpa: false,
            automatic_updates: false,
            columns,
        };
        reading.arguments(&root.arguments, &mut question);
        if reading.wrong.is_empty() {
            Ok(question)
        } else {
            Err(reading.wrong)
        }
    }
}

#[derive(Debug)]
struct Reading<'a> {
    settings: &'a LivePersonSettings,
    wrong: Vec<String>,
}

impl Reading<'_> {
    /// Fields that are requested twice are returned once.
    fn columns(&mut self, root: &RootField) -> Vec<&'static str> {
        let mut columns = Vec::new();
        if root.name != "auditData" {
            let name = &root.name;
            self.wrong.push(format!(
                "Validation error of type FieldUndefined: Field {name} is undefined @ '{name}'"
            ));
        }
        if root.selection.is_empty() {
            let what = "Validation error of type SubSelectionRequired: Sub selection required for type [AuditRecord] of field auditData @ 'auditData'";
            self.wrong.push(what.to_owned());
        }
        for name in &root.selection {
            let known =
                field(name).filter(|column| *column != ACTION_TYPE || self.settings.action_type);
            match known {
                Some(column) if columns.contains(&column) => {}
                Some(column) => columns.push(column),
                None => self.wrong.push(format!(
                    "Validation error of type FieldUndefined: Field {name} is undefined @ 'auditData/{name}'"
                )),
            }
        }
        columns
    }

    fn arguments(&mut self, arguments: &[(String, Literal)], question: &mut Question) {
        let mut seen = Vec::new();
        let mut order_by = None;
        let mut directions = None;
        for (name, value) in arguments {
            if seen.contains(&name) {
                self.wrong.push(format!(
                    "Validation error of type DuplicateArgumentNames: {name} @ 'auditData'"
                ));
                continue;
            }
            let words = self.settings.list_form != ListForm::Strings;
            let type_words = self.settings.list_form == ListForm::Words;
            match name.as_str() {
                "fromDate" => question.from = self.date(name, value),
                "toDate" => question.to = self.date(name, value),
                "first" => question.first = self.count(name, value, 1).unwrap_or(1),
                "offset" => question.offset = self.count(name, value, 0).unwrap_or(0),
                "orderBy" => order_by = self.list(name, value, words),
                "orderDirection" => directions = self.list(name, value, words),
                "users" => question.users = self.list(name, value, false),
                "componentTypes" => {
                    question.component_types = self.list(name, value, type_words);
                }
                "language" => {
                    let text = self.text(name, value);
                    match text.map(Language::tagged) {
                        Some(Some(language)) => question.language = language,
                        Some(None) => self.invalid(name, value),
                        None => {}
                    }
                }
                "timezone" => {
                    if let Some(zone) = self.timezone(name, value) {
                        question.timezone = zone;
                    }
                }
                "lpa" => question.lpa = self.flag(name, value),
                "automaticUpdates" => question.automatic_updates = self.flag(name, value),
                _ => self.wrong.push(format!(
                    "Validation error of type UnknownArgument: Unknown field argument {name} @ 'auditData'"
                )),
            }
            seen.push(name);
        }
        let columns = order_by.unwrap_or_else(|| vec!["changeTimestamp".to_owned()]);
        if columns != ["changeTimestamp"] {
            self.wrong
                .push(format!("Unknown column in orderBy: {columns:?}"));
        }
        match directions.as_deref() {
            None => {}
            Some([one]) if one == "ASC" => question.ascending = true,
            Some([one]) if one == "DESC" => question.ascending = false,
            Some(other) => self.wrong.push(format!(
                "orderDirection must have ASC or DESC for each column of orderBy: {other:?}"
            )),
        }
    }

    fn invalid(&mut self, name: &str, value: &Literal) {
        self.wrong.push(format!(
            "Validation error of type WrongType: argument '{name}' with value '{value:?}' is not valid @ 'auditData'"
        ));
    }

    fn text<'v>(&mut self, name: &str, value: &'v Literal) -> Option<&'v str> {
        if let Literal::Text(text) = value {
            return Some(text);
        }
        self.invalid(name, value);
        None
    }

    fn date(&mut self, name: &str, value: &Literal) -> Option<NaiveDate> {
        let text = self.text(name, value)?;
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
        let date = date.filter(|date| date.format("%Y-%m-%d").to_string() == text);
        if date.is_none() {
            self.invalid(name, value);
        }
        date
    }

    fn timezone(&mut self, name: &str, value: &Literal) -> Option<Tz> {
        let text = self.text(name, value)?;
        let refused = self
            .settings
            .refused_timezones
            .iter()
            .any(|zone| zone == text);
        let zone = text.parse().ok().filter(|_| !refused);
        if zone.is_none() {
            self.wrong
                .push(format!("Unknown time zone '{text}' @ 'auditData'"));
        }
        zone
    }

    fn count(&mut self, name: &str, value: &Literal, least: i32) -> Option<usize> {
        if let Literal::Int(count) = value
            && *count >= least
        {
            return usize::try_from(*count).ok();
        }
        self.invalid(name, value);
        None
    }

    fn flag(&mut self, name: &str, value: &Literal) -> bool {
        if let Literal::Flag(flag) = value {
            return *flag;
        }
        self.invalid(name, value);
        false
    }

    fn list(&mut self, name: &str, value: &Literal, words: bool) -> Option<Vec<String>> {
        let Literal::List(items) = value else {
            self.invalid(name, value);
            return None;
        };
        let item = |item: &Literal| match item {
            Literal::Text(text) if !words => Some(text.clone()),
            Literal::Word(word) if words => Some(word.clone()),
            _ => None,
        };
        let read: Option<Vec<String>> = items.iter().map(item).collect();
        if read.is_none() {
            self.invalid(name, value);
        }
        read
    }
}
