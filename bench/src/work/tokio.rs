//! tokio on each library: two programs, made of the same source.

use std::process::Command;

use crate::program::Program;
use crate::run::{Contestant, Row};

pub fn rows(programs: &[(String, String)]) -> Vec<Row> {
    if programs.is_empty() {
        return Vec::new();
    }
    [(1, 64), (64, 64), (64, 4_096)]
        .into_iter()
        .map(|(connections, size)| {
            let programs = programs.to_vec();
            Row {
                id: format!("tokio-echo-{connections}x{size}"),
                title: format!("tokio: echo of {size} B, {connections} connections, both ends on one thread"),
                unit: "ns",
                share: 1.0,
                make: Box::new(move |_| {
                    programs
                        .iter()
                        .map(|(name, path)| {
                            let mut command = Command::new(path);
                            command.args([connections.to_string(), size.to_string()]);
                            Ok(Contestant {
                                name: name.clone(),
                                batch: Program::start(command)?.batch(connections),
                            })
                        })
                        .collect()
                }),
            }
        })
        .collect()
}
