//! A YAML file as a tree in which everything knows its place, and readers that report every problem at once.
//!
//! [`Node::parse`] makes the tree, [`Fields`] and [`YamlValue`] read it: each reports what is wrong to its [`YamlReader`] and
//! goes on, so that one look at a file finds all of its mistakes. Variables ([`interpolate`]) are expanded where a
//! value is read, long after the YAML is parsed: no secret can break the file's syntax.

mod fields;
pub mod interpolate;
mod node;
mod problem;
pub mod shape;
pub mod value;

pub use fields::{Fields, YamlReader, YamlValue, reason};
pub use node::{Content, Node, NodeKey};
pub use problem::{Position, Problem, Problems};
