//! The conformance suite over the CPU engine.

mod conformance;
mod support;

conformance::suite!(crate::support::software);
