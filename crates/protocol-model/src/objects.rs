//! The objects of the store and the sets of events in them.

/// A set of events, one bit each.
pub(crate) type Events = u8;

/// The number of a commit in the log, from 1.
pub(crate) type Version = u8;

/// A file of one run: its staged key is `staging/<run>/<number>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct File {
    pub(crate) run: u8,
    pub(crate) number: u8,
    pub(crate) events: Events,
}

/// A final key: the commit's version, the run where keys carry it, and the place in the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FinalKey {
    pub(crate) version: Version,
    pub(crate) run: u8,
    pub(crate) place: u8,
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Commit {
    pub(crate) version: Version,
    pub(crate) id: u8,
    pub(crate) run: u8,
    /// All commits up to this one are recorded as published.
    pub(crate) published_through: Version,
    pub(crate) progress: Progress,
    pub(crate) files: Vec<File>,
    /// The events in the files of this commit and of all before it.
    pub(crate) listed: Events,
    pub(crate) is_claim: bool,
    /// A number that was pruned and then created again: it may exist, but nobody may act on it.
    pub(crate) is_void: bool,
}

/// Where the job stands: the next page, and the events on all pages before it that the provider showed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Progress {
    pub(crate) task: u8,
    pub(crate) page: u8,
    pub(crate) covered: Events,
}

/// An invariant that doesn't hold, in words.
pub(crate) type Violation = String;

/// `e0+e2`
pub(crate) fn names(events: Events) -> String {
    let names: Vec<String> = (0..Events::BITS)
        .filter(|bit| events >> bit & 1 == 1)
        .map(|bit| format!("e{bit}"))
        .collect();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join("+")
    }
}
