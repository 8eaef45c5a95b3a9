//! Tests of the policy: where work runs, what is said of it, and what is learnt.

mod double;
mod model;
mod policy;
mod routing;
