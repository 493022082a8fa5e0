//! W7: what a connection that does nothing takes of the program's own memory.

use std::mem;

use anyhow::Result;

use crate::batch::Batch;
use crate::engine::{Engine, Source};
use crate::run::{Row, Workload};
use crate::sockets;

pub fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "w7-heap",
            "Heap that registering an idle connection takes",
            "B",
            Memory { with_source: false },
        )
        .share(0.04),
        Row::new("w7-connection", "The same, and the socket's own type", "B", Memory { with_source: true })
            .share(0.04),
    ]
}

#[derive(Clone)]
struct Memory {
    with_source: bool,
}

const CONNECTIONS: usize = 1_000;

impl Workload for Memory {
    fn set_up<E: Engine>(&self) -> Result<Batch> {
        let own = if self.with_source { mem::size_of::<E::Tcp>() } else { 0 };
        Ok(Batch::value(move || own as f64 + registered::<E>().expect("registration")))
    }
}

fn registered<E: Engine>() -> Result<f64> {
    let pairs = sockets::tcp_pairs(CONNECTIONS)?;
    let mut engine = E::open()?;
    let mut streams: Vec<E::Tcp> = pairs.servers.into_iter().map(E::tcp).collect();
    let before = in_use();
    for (token, stream) in streams.iter_mut().enumerate() {
        stream.register(&mut engine, token)?;
    }
    let grown = in_use().saturating_sub(before);
    for stream in &mut streams {
        stream.deregister(&mut engine)?;
    }
    Ok(grown as f64 / CONNECTIONS as f64)
}

/// All that malloc has given away, to Rust and to C.
fn in_use() -> usize {
    // SAFETY: it only reads malloc's own figures.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}
