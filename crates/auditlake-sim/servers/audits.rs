//! Invented audits of Genesys Cloud, about 1,006 bytes each: the same number, the same bytes.
//!
//! Ids repeat as they do in an organization's log: 2,000 users, 50,000 things, 20 clients, small ones much more often
//! than large ones. One name in fourteen needs JSON's escapes. `id` and `eventDate` have fixed widths and known places,
//! so that a page can be served again as another one.

use std::fmt::Write as _;

/// The instant of the first audit: 2025-01-01T00:00:00Z, in milliseconds.
pub(super) const FIRST_MS: u64 = 1_735_689_600_000;
/// A stream of numbers from a seed (splitmix64).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    /// The smaller of two throws.
    fn skewed(&mut self, end: u64) -> u64 {
        self.below(end).min(self.below(end))
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[index(self.below(of.len() as u64))]
    }

    fn one_of_skewed<T: Copy>(&mut self, of: &[T]) -> T {
        of[index(self.skewed(of.len() as u64))]
    }
}

/// Where in a text an audit has the parts that differ from one serving to the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slots {
    id: usize,
    time: usize,
}

/// How an audit is served.
#[derive(Debug, Clone, Copy)]
pub(super) struct Serving {
    /// Its number among those that are served.
    pub(super) number: u64,
    /// In which round; the same text has another id in another one.
    pub(super) round: u64,
    /// How many microseconds lie between two of them.
    pub(super) every_us: u64,
}

impl Serving {
    /// Writes id and time into the text in which the audit has these slots.
    pub(super) fn fill(self, text: &mut [u8], slots: Slots) {
        if self.round > 0 {
            let other = format!("{:08x}", Dice::new(self.round).roll() >> 32);
            let digits = text[slots.id..].iter_mut().zip(other.bytes());
            digits.for_each(|(digit, other)| *digit = sum_of_digits(*digit, other));
        }
        let time = time_of(self.number, self.every_us);
        text[slots.time..slots.time + time.len()].copy_from_slice(&time);
    }
}

/// Of two hexadecimal digits, modulo 16.
fn sum_of_digits(a: u8, b: u8) -> u8 {
    let value = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0);
    b"0123456789abcdef"[((value(a) + value(b)) % 16) as usize]
}

const FIRST_NAMES: [&str; 26] = [
    "Alice", "Bruno", "Carla", "Dmitri", "Elena", "Farid", "Grace", "Hiro", "Inès", "Jonas",
    "Katrin", "Lars", "Mei", "Nora", "Oleg", "Priya", "Quentin", "Rosa", "Søren", "Tariq", "Uma",
    "Viktor", "Wen", "Ximena", "Yusuf", "Zoë",
];
const LAST_NAMES: [&str; 26] = [
    "Anderson",
    "Bauer",
    "Castillo",
    "Dubois",
    "Eriksen",
    "Fischer",
    "García",
    "Hansen",
    "Ivanov",
    "Jensen",
    "Kowalski",
    "Lindqvist",
    "Martin",
    "Nakamura",
    "O'Brien",
    "Petrov",
    "Quist",
    "Rossi",
    "Schmidt",
    "Tanaka",
    "Ueda",
    "Vogel",
    "Weber",
    "Xu",
    "Yamada",
    "Zimmer",
];
const SERVICES: [&str; 30] = [
    "Architect",
    "Routing",
    "PeoplePermissions",
    "ContactCenter",
    "Quality",
    "Telephony",
    "WorkforceManagement",
    "Outbound",
    "Knowledge",
    "Integrations",
    "Directory",
    "Analytics",
    "ResponseManagement",
    "LogCapture",
    "Presence",
    "Scripter",
    "ContentManagement",
    "DataTables",
    "Gamification",
    "Speech",
    "Webdeployments",
    "Billing",
    "Triggers",
    "ProcessAutomation",
    "EmployeePerformance",
    "Messaging",
    "Callback",
    "Groups",
    "Learning",
    "Trustor",
];
const ACTIONS: [&str; 20] = [
    "Create",
    "Update",
    "Delete",
    "View",
    "Publish",
    "MemberAdd",
    "MemberRemove",
    "Assign",
    "Unassign",
    "Activate",
    "Deactivate",
    "Import",
    "Export",
    "Download",
    "Read",
    "Checkin",
    "Checkout",
    "Restore",
    "Sync",
    "Login",
];
const ENTITY_TYPES: [&str; 40] = [
    "Queue",
    "User",
    "Role",
    "Flow",
    "Prompt",
    "Skill",
    "WrapupCode",
    "Division",
    "Evaluation",
    "Schedule",
    "Campaign",
    "ContactList",
    "Credential",
    "Integration",
    "Trunk",
    "Site",
    "Phone",
    "Recording",
    "Policy",
    "Survey",
    "Dashboard",
    "DataTable",
    "Trigger",
    "Document",
    "Workspace",
    "Script",
    "Group",
    "Location",
    "Station",
    "Edge",
    "Response",
    "Library",
    "Topic",
    "Program",
    "Form",
    "Calibration",
    "ActivityPlan",
    "BusinessUnit",
    "ManagementUnit",
    "TimeOffPlan",
];
const PROPERTIES: [&str; 30] = [
    "name",
    "description",
    "division",
    "state",
    "acwSettings.wrapupPrompt",
    "acwSettings.timeoutMs",
    "mediaSettings.call.alertingTimeoutSeconds",
    "memberCount",
    "skillEvaluationMethod",
    "autoAnswerOnly",
    "callingPartyName",
    "callingPartyNumber",
    "outboundEmailAddress",
    "permissions",
    "roles",
    "version",
    "owner",
    "bullseye.rings",
    "routingRules",
    "whisperPrompt",
    "defaultScripts",
    "enableTranscription",
    "scoringMethod",
    "published",
    "startTime",
    "endTime",
    "timezone",
    "languages",
    "addresses.primary",
    "manager",
];
const WORDS: [&str; 25] = [
    "support",
    "sales",
    "billing",
    "tier2",
    "emea",
    "apac",
    "weekend",
    "overflow",
    "priority",
    "vip",
    "retention",
    "claims",
    "english",
    "german",
    "voice",
    "email",
    "chat",
    "callback",
    "night",
    "pilot",
    "legacy",
    "main",
    "north",
    "south",
    "team",
];
const APPLICATIONS: [&str; 5] = [
    "PureCloud Admin UI",
    "Public API",
    "Architect",
    "Genesys Cloud CX",
    "Terraform CX as Code",
];
const REGIONS: [&str; 4] = ["eu-central-1", "us-east-1", "eu-west-2", "ap-southeast-2"];
const LEVELS: [&str; 5] = ["USER", "USER", "USER", "SYSTEM", "GENESYS_INTERNAL"];
const CONTEXT: [&str; 6] = [
    "correlationId",
    "sessionId",
    "region",
    "apiVersion",
    "source",
    "requestPath",
];

/// What ids are made for: the same number of the same kind has the same id.
#[derive(Debug, Clone, Copy)]
enum Of {
    Org = 1,
    User = 2,
    Client = 3,
    Entity = 4,
}

/// Appends the audit of this number to `out`, as an object, and tells where in `out` its slots are.
pub(super) fn record(out: &mut String, number: u64) -> Slots {
    let dice = &mut Dice::new(0x00C0_FFEE ^ number.wrapping_mul(0xD6E8_FEB8_6659_FD93));
    let user = dice.skewed(2_000);
    let kind = index(dice.skewed(ENTITY_TYPES.len() as u64));
    let thing = dice.skewed(1_250) * ENTITY_TYPES.len() as u64 + kind as u64;
    let entity_type = ENTITY_TYPES[kind];
    let lower = entity_type.to_lowercase();
    let action = dice.one_of_skewed(&ACTIONS);

    out.push_str(r#"{"id":""#);
    let id = out.len();
    uuid(out, dice);
    out.push_str(r#"","userHomeOrgId":""#);
    uuid_of(out, Of::Org, dice.skewed(3));
    out.push_str(r#"","user":{"id":""#);
    uuid_of(out, Of::User, user);
    out.push_str(r#"","name":""#);
    person(out, user);
    out.push_str(r#"","selfUri":"/api/v2/users/"#);
    uuid_of(out, Of::User, user);
    out.push_str(r#""},"client":{"id":""#);
    uuid_of(out, Of::Client, dice.skewed(20));
    out.push_str(r#""},"remoteIp":["#);
    for hop in 0..=u64::from(dice.below(4) == 0) {
        let ip = dice.skewed(4_000);
        let comma = if hop > 0 { "," } else { "" };
        put(
            out,
            format_args!(r#"{comma}"10.{}.{}.{}""#, 20 + hop, ip / 250, ip % 250),
        );
    }
    put(
        out,
        format_args!(
            r#"],"serviceName":"{}","level":"{}","status":"{}","application":"{}","eventDate":""#,
            dice.one_of_skewed(&SERVICES),
            dice.one_of(&LEVELS),
            if dice.below(30) == 0 {
                "FAILURE"
            } else {
                "SUCCESS"
            },
            dice.one_of_skewed(&APPLICATIONS),
        ),
    );
    let time = out.len();
    out.push_str("2025-01-01T00:00:00.000Z");
    put(
        out,
        format_args!(
            r#"","message":{{"localizableMessageCode":"{}","message":""#,
            index(dice.skewed(800)),
        ),
    );
    name_of(out, entity_type, thing);
    put(out, format_args!(" {} by ", action.to_lowercase()));
    person(out, user);
    put(
        out,
        format_args!(r#""}},"action":"{action}","entityType":"{entity_type}","entity":{{"id":""#),
    );
    uuid_of(out, Of::Entity, thing);
    out.push_str(r#"","name":""#);
    name_of(out, entity_type, thing);
    put(out, format_args!(r#"","selfUri":"/api/v2/{lower}s/"#));
    uuid_of(out, Of::Entity, thing);
    out.push_str(r#""},"propertyChanges":["#);
    changes(out, dice);
    out.push_str(r#"],"context":{"#);
    context(out, dice);
    out.push_str("}}");
    Slots { id, time }
}

/// The time of the audit of this number, as `eventDate` shows it, where audits come every `every_us` microseconds.
fn time_of(number: u64, every_us: u64) -> [u8; 24] {
    let within = Dice::new(number).below(every_us * 98 / 100 + 1);
    let ms = FIRST_MS + (number * every_us + within) / 1_000;
    let (year, month, day) = date_of(ms / 86_400_000);
    let of_day = ms % 86_400_000;
    let mut shown = *b"0000-00-00T00:00:00.000Z";
    for (place, width, value) in [
        (0, 4, year),
        (5, 2, month),
        (8, 2, day),
        (11, 2, of_day / 3_600_000),
        (14, 2, of_day / 60_000 % 60),
        (17, 2, of_day / 1_000 % 60),
        (20, 3, of_day % 1_000),
    ] {
        let mut rest = value;
        for digit in shown[place..place + width].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
    }
    shown
}

/// Year, month and day of a day since 1970-01-01, for the years up to 2099.
fn date_of(day: u64) -> (u64, u64, u64) {
    let mut year = 1970 + day / 1_461 * 4;
    let mut rest = day % 1_461;
    let length = |year: u64| if year.is_multiple_of(4) { 366 } else { 365 };
    while rest >= length(year) {
        rest -= length(year);
        year += 1;
    }
    let february = length(year) - 337;
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if rest < days {
            break;
        }
        rest -= days;
        month += 1;
    }
    (year, month, rest + 1)
}

fn changes(out: &mut String, dice: &mut Dice) {
    let count = dice.one_of(&[0, 0, 1, 1, 1, 2, 2, 3, 4]);
    for change in 0..count {
        let comma = if change > 0 { "," } else { "" };
        let property = dice.one_of_skewed(&PROPERTIES);
        put(
            out,
            format_args!(r#"{comma}{{"property":"{property}","oldValues":"#),
        );
        values(out, dice);
        out.push_str(r#","newValues":"#);
        values(out, dice);
        out.push('}');
    }
}

fn values(out: &mut String, dice: &mut Dice) {
    out.push('[');
    for value in 0..dice.one_of(&[0, 1, 1, 1, 1, 1, 1, 1, 2, 2]) {
        out.push_str(if value > 0 { ",\"" } else { "\"" });
        match dice.below(6) {
            0 => put(out, format_args!("{}", dice.below(600))),
            1 => out.push_str(dice.one_of(&["true", "false"])),
            2 => uuid(out, dice),
            3 => words(out, dice, 2),
            4 => words(out, dice, 4),
            _ => put(out, format_args!("+49{:09}", dice.below(1_000_000_000))),
        }
        out.push('"');
    }
    out.push(']');
}

fn context(out: &mut String, dice: &mut Dice) {
    let first = dice.below(CONTEXT.len() as u64);
    for entry in 0..dice.below(4) {
        let key = CONTEXT[index((first + entry) % CONTEXT.len() as u64)];
        let comma = if entry > 0 { "," } else { "" };
        put(out, format_args!(r#"{comma}"{key}":""#));
        match key {
            "correlationId" | "sessionId" => uuid(out, dice),
            "region" => out.push_str(dice.one_of(&REGIONS)),
            "apiVersion" => out.push_str("v2"),
            "source" => words(out, dice, 1),
            _ => {
                out.push_str("/api/v2/");
                words(out, dice, 1);
            }
        }
        out.push('"');
    }
}

fn words(out: &mut String, dice: &mut Dice, count: usize) {
    for word in 0..count {
        if word > 0 {
            out.push(' ');
        }
        out.push_str(dice.one_of(&WORDS));
    }
}

fn person(out: &mut String, user: u64) {
    let first = FIRST_NAMES[index(user % 26)];
    let last = LAST_NAMES[index(user / 26 % 26)];
    put(out, format_args!("{first} {last}"));
    if user >= 676 {
        put(out, format_args!(" {}", user / 676));
    }
}

fn name_of(out: &mut String, entity_type: &str, thing: u64) {
    put(out, format_args!("{entity_type} "));
    if thing % 25 == 7 {
        out.push_str(r#"\"VIP\" "#);
    }
    if thing % 40 == 3 {
        out.push_str(r"caf\u00e9 ");
    }
    words(out, &mut Dice::new(thing ^ 0x55), 2);
    put(out, format_args!(" {}", thing % 97));
}

fn uuid_of(out: &mut String, of: Of, number: u64) {
    let seed = (of as u64).wrapping_mul(0xA24B_AED4_963E_E407) ^ number;
    uuid(out, &mut Dice::new(seed));
}

fn uuid(out: &mut String, dice: &mut Dice) {
    let (a, b) = (dice.roll(), dice.roll());
    put(
        out,
        format_args!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xfff,
            b >> 52,
            b & 0xffff_ffff_ffff
        ),
    );
}

/// Writing to a string doesn't fail.
fn put(out: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(what);
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or_default()
}
