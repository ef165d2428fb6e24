//! A YAML tree with positions, and readers that report all problems at once.
//!
//! [`Node::parse`] parses the tree, [`Fields`] and [`YamlValue`] read it. Each reports problems to its [`YamlReader`] and
//! continues, so that one pass finds all mistakes in a file. Each key is declared in [`keys`]. Variables
//! ([`interpolate`]) are expanded when a value is read, after the YAML is parsed, so a secret can't break the syntax.

mod fields;
pub mod interpolate;
pub mod keys;
mod node;
mod problem;
pub mod value;

pub use fields::{Fields, YamlReader, YamlValue, reason};
pub use node::{Content, Node, NodeKey};
pub use problem::{Position, Problem, Problems};
