//! What the parts do together: one test binary, one module a subject.

mod avaya;
mod calls;
mod chaos;
mod clocks;
mod closed;
mod corpus;
mod deploy;
mod everyware;
mod faults;
mod genesys;
mod history;
mod layering;
mod liveperson;
mod process;
mod protocol;
mod quarantine;
mod s3;
mod soak;
mod support;
mod verify;
mod watching;
mod week;
