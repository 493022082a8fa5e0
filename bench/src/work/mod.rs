//! The workloads, and what each row of the report shows.

mod churn;
mod echo;
mod memory;
mod modes;
mod poll;
mod polling;
mod register;
mod runtimes;
mod timeout;
mod timers;
mod udp;
mod wake;

use crate::run::Row;

/// All rows. The beginning of an id is its workload, by which a person asks for it.
pub fn rows(programs: &[(String, String)]) -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend(wake::rows());
    rows.extend(poll::rows());
    rows.extend(register::rows());
    rows.extend(churn::rows());
    rows.extend(echo::rows());
    rows.extend(udp::rows());
    rows.extend(timeout::rows());
    rows.extend(memory::rows());
    rows.extend(modes::rows());
    rows.extend(polling::rows());
    rows.extend(timers::rows());
    rows.extend(runtimes::rows(programs));
    rows
}
