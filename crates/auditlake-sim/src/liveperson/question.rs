//! What a GraphQL text asks for, and all that is wrong with it.

use apollo_parser::Parser;
use apollo_parser::cst::{
    Argument, Definition, Field, OperationDefinition, Selection, SelectionSet, Value,
};
use chrono::NaiveDate;
use chrono_tz::Tz;

use super::row::{Column, Language};
use super::settings::{ListForm, LivePersonSettings};

/// A question that was understood; what it left out has the provider's defaults.
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
    /// In the order asked for.
    pub(super) columns: Vec<Column>,
}

/// A value as it is written.
#[derive(Debug, PartialEq)]
enum Literal {
    Text(String),
    Int(i32),
    Flag(bool),
    Word(String),
    List(Vec<Literal>),
    /// A variable, a float, null, an object: no argument takes one.
    Other,
}

const DEPTH: usize = 20;
const TOKENS: usize = 20_000;

impl Question {
    /// Reads a text. An error is what the provider says of it: a syntax error alone, or all that is not valid.
    pub(super) fn parse(text: &str, settings: &LivePersonSettings) -> Result<Self, Vec<String>> {
        let tree = Parser::new(text)
            .recursion_limit(DEPTH)
            .token_limit(TOKENS)
            .parse();
        if let Some(error) = tree.errors().next() {
            let (at, what) = (error.index(), error.message());
            return Err(vec![format!("Invalid Syntax : {what} at offset {at}")]);
        }
        let mut definitions = tree.document().definitions();
        let field = match (definitions.next(), definitions.next()) {
            (Some(Definition::OperationDefinition(operation)), None) => root(&operation)?,
            _ => return Err(vec!["Must provide exactly one query operation".to_owned()]),
        };
        let mut reading = Reading {
            settings,
            wrong: Vec::new(),
        };
        let columns = reading.columns(field.selection_set());
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
        let arguments: Vec<Argument> = field
            .arguments()
            .map(|arguments| arguments.arguments().collect())
            .unwrap_or_default();
        reading.arguments(&arguments, &mut question);
        if reading.wrong.is_empty() {
            Ok(question)
        } else {
            Err(reading.wrong)
        }
    }
}

/// The only field of the only operation.
fn root(operation: &OperationDefinition) -> Result<Field, Vec<String>> {
    let refuse = |message: &str| Err(vec![message.to_owned()]);
    if operation
        .operation_type()
        .is_some_and(|kind| kind.query_token().is_none())
    {
        return refuse("Schema is not configured for mutations or subscriptions");
    }
    if operation.variable_definitions().is_some() || operation.directives().is_some() {
        return refuse("Validation error: neither variables nor directives are supported");
    }
    let selections: Vec<Selection> = operation
        .selection_set()
        .map(|set| set.selections().collect())
        .unwrap_or_default();
    let [Selection::Field(field)] = selections.as_slice() else {
        return refuse("Validation error: exactly one field is expected");
    };
    let name = field.name().map(|name| name.text().to_string());
    let name = name.unwrap_or_default();
    if name != "auditData" {
        return Err(vec![format!(
            "Validation error of type FieldUndefined: Field {name} is undefined @ '{name}'"
        )]);
    }
    if field.alias().is_some() || field.directives().is_some() {
        return refuse("Validation error: neither an alias nor a directive is expected");
    }
    Ok(field.clone())
}

#[derive(Debug)]
struct Reading<'a> {
    settings: &'a LivePersonSettings,
    wrong: Vec<String>,
}

impl Reading<'_> {
    /// Fields that are asked for twice are shown once.
    fn columns(&mut self, set: Option<SelectionSet>) -> Vec<Column> {
        let mut columns = Vec::new();
        let selections: Vec<Selection> = set
            .map(|set| set.selections().collect())
            .unwrap_or_default();
        if selections.is_empty() {
            let what = "Validation error of type SubSelectionRequired: Sub selection required for type [AuditRecord] of field auditData @ 'auditData'";
            self.wrong.push(what.to_owned());
        }
        for selection in selections {
            let Selection::Field(field) = selection else {
                self.wrong
                    .push("Validation error: fragments are not supported".to_owned());
                continue;
            };
            let name = field.name().map(|name| name.text().to_string());
            let name = name.unwrap_or_default();
            let column = Column::named(&name)
                .filter(|column| *column != Column::ActionType || self.settings.action_type);
            let plain = field.alias().is_none()
                && field.arguments().is_none()
                && field.directives().is_none()
                && field.selection_set().is_none();
            match column {
                Some(column) if plain => {
                    if !columns.contains(&column) {
                        columns.push(column);
                    }
                }
                Some(_) => self.wrong.push(format!(
                    "Validation error: the field {name} takes neither alias, arguments, directives nor a selection @ 'auditData/{name}'"
                )),
                None => self.wrong.push(format!(
                    "Validation error of type FieldUndefined: Field {name} is undefined @ 'auditData/{name}'"
                )),
            }
        }
        columns
    }

    fn arguments(&mut self, arguments: &[Argument], question: &mut Question) {
        let mut seen = Vec::new();
        let mut order_by = None;
        let mut directions = None;
        for argument in arguments {
            let name = argument.name().map(|name| name.text().to_string());
            let name = name.unwrap_or_default();
            if seen.contains(&name) {
                self.wrong.push(format!(
                    "Validation error of type DuplicateArgumentNames: {name} @ 'auditData'"
                ));
                continue;
            }
            let value = argument.value().map_or(Literal::Other, literal);
            let words = self.settings.list_form != ListForm::Strings;
            let type_words = self.settings.list_form == ListForm::Words;
            match name.as_str() {
                "fromDate" => question.from = self.date(&name, &value),
                "toDate" => question.to = self.date(&name, &value),
                "first" => question.first = self.count(&name, &value, 1).unwrap_or(1),
                "offset" => question.offset = self.count(&name, &value, 0).unwrap_or(0),
                "orderBy" => order_by = self.list(&name, &value, words),
                "orderDirection" => directions = self.list(&name, &value, words),
                "users" => question.users = self.list(&name, &value, false),
                "componentTypes" => {
                    question.component_types = self.list(&name, &value, type_words);
                }
                "language" => {
                    let text = self.text(&name, &value);
                    match text.map(Language::tagged) {
                        Some(Some(language)) => question.language = language,
                        Some(None) => self.invalid(&name, &value),
                        None => {}
                    }
                }
                "timezone" => {
                    if let Some(zone) = self.timezone(&name, &value) {
                        question.timezone = zone;
                    }
                }
                "lpa" => question.lpa = self.flag(&name, &value),
                "automaticUpdates" => question.automatic_updates = self.flag(&name, &value),
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

fn literal(value: Value) -> Literal {
    match value {
        Value::StringValue(text) => Literal::Text(text.into()),
        Value::IntValue(number) => i32::try_from(number).map_or(Literal::Other, Literal::Int),
        Value::BooleanValue(flag) => Literal::Flag(flag.true_token().is_some()),
        Value::EnumValue(word) => word.name().map_or(Literal::Other, |name| {
            Literal::Word(name.text().to_string())
        }),
        Value::ListValue(list) => Literal::List(list.values().map(literal).collect()),
        Value::Variable(_) | Value::FloatValue(_) | Value::NullValue(_) | Value::ObjectValue(_) => {
            Literal::Other
        }
    }
}
