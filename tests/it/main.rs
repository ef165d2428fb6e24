//! What the parts do together: one test binary, one module a subject.

mod genesys;
mod layering;
mod process;
mod s3;
