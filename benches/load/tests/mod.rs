//! Tests of the parts, apart from them: what cargo builds as a bench has no tests, and must have no dead code.

mod args;
mod axis;
mod chart;
mod choices;
mod inflate;
mod ledger;
mod median;
mod ramp;
mod rooms;
mod scanner;
mod stalled;
mod stamp;
mod timeline;
