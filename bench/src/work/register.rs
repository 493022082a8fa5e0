//! W3: what registering costs, and changing a registration, and ending it; by how many are registered already.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::batch::Batch;
use crate::engine::{Engine, Source};
use crate::run::{Row, Workload};
use crate::sockets;

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (stage, name) in
        [(Stage::Register, "register"), (Stage::Reregister, "reregister"), (Stage::Deregister, "deregister")]
    {
        for others in [0, 1_000] {
            rows.push(
                Row::new(
                    &format!("w3-{name}-{others}"),
                    &format!("{name} a TCP stream; {others} others are registered"),
                    "ns",
                    Registration { stage, others },
                )
                .share(0.7),
            );
        }
    }
    rows
}

#[derive(Clone, Copy)]
enum Stage {
    Register,
    Reregister,
    Deregister,
}

#[derive(Clone)]
struct Registration {
    stage: Stage,
    others: usize,
}

/// As many as one batch works on.
const STREAMS: usize = 64;

impl Workload for Registration {
    fn set_up<E: Engine>(&self) -> Result<Batch> {
        let stage = self.stage;
        let mut engine = E::open()?;
        let mut events = E::events();
        let mut others = Vec::new();
        for token in 0..self.others {
            let mut other = E::pipe(sockets::eventfd()?);
            other.register(&mut engine, STREAMS + token)?;
            others.push(other);
        }
        let pairs = sockets::tcp_pairs(STREAMS)?;
        let clients = pairs.clients;
        let mut streams: Vec<E::Tcp> = pairs.servers.into_iter().map(E::tcp).collect();
        Ok(Batch::value(move || {
            let _keep = (&clients, &others);
            let mut took = [Duration::ZERO; 3];
            for now in [Stage::Register, Stage::Reregister, Stage::Deregister] {
                let start = Instant::now();
                for (token, stream) in streams.iter_mut().enumerate() {
                    match now {
                        Stage::Register => stream.register(&mut engine, token).expect("register"),
                        Stage::Reregister => stream.reregister(&mut engine, token).expect("reregister"),
                        Stage::Deregister => stream.deregister(&mut engine).expect("deregister"),
                    }
                }
                if E::DEFERS {
                    engine.poll(&mut events, Some(Duration::ZERO));
                }
                took[now as usize] = start.elapsed();
            }
            took[stage as usize].as_nanos() as f64 / STREAMS as f64
        }))
    }
}
