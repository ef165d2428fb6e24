//! What the parts do together: one test binary.

mod layering;
mod process;
mod s3;
