//! A runtime on each library: two programs, made of the same source.

use std::process::Command;

use crate::program::Program;
use crate::run::{Contestant, Row};

pub fn rows(programs: &[(String, String)]) -> Vec<Row> {
    let on_tokio = [(1, 64), (64, 64), (64, 4_096)].map(|(connections, size)| {
        let title = format!("tokio: echo of {size} B, {connections} connections, both ends on one thread");
        row("tokio", title, (connections, size), 1, programs)
    });
    let on_smol = [(1, 64), (64, 64)].map(|(connections, size)| {
        let title =
            format!("smol: processor time of a server that echoes {size} B, {connections} connections");
        row("smol", title, (connections, size), 100, programs).map(|row| row.share(0.3))
    });
    on_tokio.into_iter().chain(on_smol).flatten().collect()
}

/// Returns the row of a runtime, if its programs are there: their names begin with its own. They do so many rounds at a
/// time.
fn row(
    runtime: &str,
    title: String,
    (connections, size): (usize, usize),
    rounds: usize,
    programs: &[(String, String)],
) -> Option<Row> {
    let mut programs = programs.to_vec();
    programs.retain(|(name, _)| name.starts_with(runtime));
    if programs.is_empty() {
        return None;
    }
    let make = move |_: Option<&str>| {
        programs
            .iter()
            .map(|(name, path)| {
                let mut command = Command::new(path);
                command.args([connections.to_string(), size.to_string()]);
                Ok(Contestant {
                    name: name.clone(),
                    batch: Program::start(command)?.batch(connections * rounds),
                })
            })
            .collect()
    };
    Some(Row {
        id: format!("{runtime}-echo-{connections}x{size}"),
        title,
        unit: "ns",
        share: 1.0,
        make: Box::new(make),
    })
}
