//! What several of these programs share.
//!
//! ```text
//! run.rs       how operations are run to be measured
//! report.rs    what was measured, as a table and as JSON
//! process.rs   processor time and memory
//! slow.rs      a disk whose syncs take their time
//! ```

pub mod process;
pub mod report;
pub mod run;
pub mod slow;
