//! How the invented rows are made up.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;

use super::dataset::{DatasetSpec, PoisonKind};
use super::row::{Kind, Row};
use crate::late::Lateness;
use crate::texts::{AWKWARD_TEXTS, PLAIN_TEXTS, full_name, pick};

const SECOND: i64 = 1_000_000;

const KINDS: &[Kind] = &[
    Kind {
        english: "Users",
        german: "Benutzer",
        component: "ACUserObject",
        elements: &[
            "Max concurrent chats",
            "Skills",
            "Profiles",
            "Employee ID",
            "Nickname",
            "Email",
        ],
    },
    Kind {
        english: "Skills",
        german: "Fähigkeiten",
        component: "ACSkillObject",
        elements: &["Name", "Description", "Routing"],
    },
    Kind {
        english: "Profiles",
        german: "Profile",
        component: "ACProfileObject",
        elements: &["Generate secure form token", "Permissions", "N/A"],
    },
    Kind {
        english: "Agent Groups",
        german: "Agentengruppen",
        component: "ACAgentGroupObject",
        elements: &["N/A", "Parent group"],
    },
    Kind {
        english: "Campaigns",
        german: "Kampagnen",
        component: "ACCampaignObject",
        elements: &["N/A", "Goal", "Status", "Weight"],
    },
    Kind {
        english: "Predefined Content",
        german: "Vordefinierte Inhalte",
        component: "ACPredefinedContentObject",
        elements: &["Text", "Enabled", "N/A"],
    },
];

const USER_AGENTS: &[&str] = &[
    "\"Mozilla/5.0 (X11; Linux x86_64)\"",
    "\"Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5)\"",
    "\"Java/17.0.9\"",
    "\"\"",
];

/// One originator; all are JSON literals.
#[derive(Debug, Clone)]
struct Person {
    name: String,
    login: String,
    id: String,
}

/// Makes up rows; the same specification gives the same bytes.
#[derive(Debug)]
pub(super) struct Generator<'a> {
    spec: &'a DatasetSpec,
    rng: StdRng,
    people: Vec<Person>,
    rows: Vec<Row>,
}

impl<'a> Generator<'a> {
    pub(super) fn new(spec: &'a DatasetSpec) -> Self {
        let mut rng = StdRng::seed_from_u64(spec.seed);
        let person = |number: usize, rng: &mut StdRng| Person {
            name: Value::from(full_name(rng)).to_string(),
            login: format!("\"user{number}@example.com\""),
            id: format!("\"37053{number:05}\""),
        };
        let people = (0..40).map(|number| person(number, &mut rng)).collect();
        Self {
            spec,
            rng,
            people,
            rows: Vec::new(),
        }
    }

    /// All rows, in the order in which they happened.
    pub(super) fn run(mut self) -> Vec<Row> {
        let tie = self.spec.largest_tie.min(self.spec.rows / 4);
        if tie > 0 {
            self.action(tie);
        }
        while self.rows.len() < self.spec.rows {
            let size = match self.rng.random_range(0..100) {
                0..55 => 1,
                55..90 => self.rng.random_range(2..=6),
                _ => self.rng.random_range(7..=20),
            };
            self.action(size.min(self.spec.rows - self.rows.len()));
        }
        for number in 0..self.spec.poison {
            self.action(1);
            let kinds = [
                PoisonKind::NoChangeDate,
                PoisonKind::GarbledChangeDate,
                PoisonKind::NotAnObject,
            ];
            if let Some(row) = self.rows.last_mut() {
                row.poison = Some(kinds[number % kinds.len()]);
            }
        }
        // stable: rows of one instant stay in the order in which they were made up
        self.rows.sort_by_key(|row| row.at);
        self.rows
    }

    /// One edit, which leaves so many rows of one second that differ in their element, if at all.
    fn action(&mut self, size: usize) {
        let kind = &KINDS[self.rng.random_range(0..KINDS.len())];
        let person = self.people[self.rng.random_range(0..self.people.len())].clone();
        let automatic = self.chance(self.spec.automatic_share);
        let lpa = !automatic && self.chance(self.spec.staff_share);
        let object_name = format!("\"object {}\"", self.rng.random_range(0..500));
        let awkward = self.chance(self.spec.awkward_share);
        let template = Row {
            at: self.instant(awkward),
            visible_at: 0,
            kind,
            object_name,
            element: String::new(),
            old_value: String::new(),
            new_value: String::new(),
            originator: match (automatic, lpa) {
                (true, _) => "\"System\"".to_owned(),
                (_, true) => "\"LPA user\"".to_owned(),
                _ => person.name,
            },
            login: if automatic {
                "null".to_owned()
            } else {
                person.login
            },
            user_id: if automatic {
                "null".to_owned()
            } else {
                person.id
            },
            user_agent: pick(&mut self.rng, USER_AGENTS).to_owned(),
            auth_type: pick(&mut self.rng, &["\"BEARER\"", "\"SAML\"", "null"]).to_owned(),
            lpa,
            automatic,
            poison: None,
        };
        for number in 0..size {
            let mut row = if number > 0 && self.chance(self.spec.twin_share) {
                // the row before, again
                self.rows[self.rows.len() - 1].clone()
            } else {
                self.changed(template.clone(), awkward)
            };
            row.visible_at = row.at.saturating_add(self.delay());
            self.rows.push(row);
        }
    }

    fn changed(&mut self, mut row: Row, awkward: bool) -> Row {
        let element = pick(&mut self.rng, row.kind.elements);
        row.element = format!("\"{element}\"");
        if element == "N/A" {
            row.old_value = "\"\"".into();
            row.new_value = "\"\"".into();
            return row;
        }
        row.old_value = pick(&mut self.rng, PLAIN_TEXTS).into();
        row.new_value = format!("\"value {}\"", self.rng.random_range(0..1_000_000));
        if !awkward {
            return row;
        }
        let text = pick(&mut self.rng, AWKWARD_TEXTS).to_owned();
        match self.rng.random_range(0..6) {
            0 => row.old_value = "null".into(),
            1 => row.new_value = text,
            2 => row.object_name = text,
            3 => row.user_agent = "null".into(),
            4 => row.element = text,
            _ => row.originator = text,
        }
        row
    }

    /// Whole seconds, as the provider shows them; with a fraction where it may.
    fn instant(&mut self, fraction: bool) -> i64 {
        let from = self.spec.from.timestamp_micros();
        let to = self.spec.to.timestamp_micros();
        let at = self.rng.random_range(from..to.max(from + 1));
        let step = if fraction { 1_000 } else { SECOND };
        at.div_euclid(step).saturating_mul(step).max(from)
    }

    fn chance(&mut self, share: f64) -> bool {
        self.rng.random_bool(share.clamp(0.0, 1.0))
    }

    fn delay(&mut self) -> i64 {
        let lateness = Lateness {
            usual: self.spec.usual_delay,
            late_share: self.spec.late_share,
            latest: self.spec.latest,
        };
        lateness.draw(&mut self.rng)
    }
}
