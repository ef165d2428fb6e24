//! What the parts do together: one test binary, one module a subject.

mod avaya;
mod corpus;
mod closed;
mod everyware;
mod faults;
mod genesys;
mod layering;
mod liveperson;
mod process;
mod protocol;
mod quarantine;
mod s3;
mod soak;
mod support;
mod week;
