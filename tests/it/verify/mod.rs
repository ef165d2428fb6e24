//! `verify`: what is wrong with a lake is found, and nothing else is.

mod findings;
mod providers;
mod support;
