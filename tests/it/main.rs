//! What the parts do together: one test binary, one module a subject.

mod avaya;
mod chaos;
mod everyware;
mod genesys;
mod layering;
mod liveperson;
mod process;
mod protocol;
mod s3;
mod support;
mod week;
