//! The conformance suite over the policy that chooses between hardware and CPU.

mod conformance;
mod support;

conformance::suite!(crate::support::auto);
