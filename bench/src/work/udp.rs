//! W5: datagrams, received until there are no more, and sent.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::batch::Batch;
use crate::clock::Stopwatch;
use crate::engine::{Engine, Source};
use crate::run::{Row, Workload};
use crate::sockets;

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for size in [64, 1_200] {
        rows.push(Row::new(
            &format!("w5-receive-{size}"),
            &format!("Poll, and receive 64 datagrams of {size} B with their senders; for each"),
            "ns",
            Receive { size },
        ));
        rows.push(Row::new(
            &format!("w5-send-{size}"),
            &format!("Send a datagram of {size} B; with the kernel's delivery"),
            "ns",
            Send { size },
        ));
    }
    rows
}

/// As many as fit into a socket's buffer.
const QUEUED: usize = 64;

#[derive(Clone)]
struct Receive {
    size: usize,
}

impl Workload for Receive {
    fn set_up<E: Engine>(&self) -> Result<Batch> {
        let message = vec![7; self.size];
        let mut engine = E::open()?;
        let mut events = E::events();
        let sender = sockets::udp()?;
        let receiver = sockets::udp()?;
        let target = receiver.local_addr()?;
        let mut receiver = E::udp(receiver);
        receiver.register(&mut engine, 0)?;
        let mut buf = vec![0; 2_048];
        let mut watch = Stopwatch::new();
        Ok(Batch::times_of(QUEUED, move |times| {
            for _ in 0..times {
                for _ in 0..QUEUED {
                    sender.send_to(&message, target).expect("send");
                }
                let mut received = 0;
                watch.time(|| {
                    while received < QUEUED {
                        engine.poll(&mut events, Some(Duration::from_secs(1)));
                        E::readable(&events, |_| {
                            while let Ok((n, sender)) = E::recv_from(&receiver, &mut buf) {
                                std::hint::black_box((n, sender));
                                received += 1;
                            }
                        });
                    }
                });
                assert_eq!(received, QUEUED, "datagrams were lost");
            }
            watch.take()
        }))
    }
}

#[derive(Clone)]
struct Send {
    size: usize,
}

impl Workload for Send {
    fn set_up<E: Engine>(&self) -> Result<Batch> {
        let message = vec![7; self.size];
        let sender = E::udp(sockets::udp()?);
        let receiver = sockets::udp()?;
        let target = receiver.local_addr()?;
        let mut buf = vec![0; 2_048];
        Ok(Batch::times(move |times| {
            let mut took = Duration::ZERO;
            let mut left = times as usize;
            while left > 0 {
                let now = left.min(QUEUED);
                let start = Instant::now();
                for _ in 0..now {
                    E::send_to(&sender, &message, target).expect("send");
                }
                took += start.elapsed();
                for _ in 0..now {
                    assert_eq!(receiver.recv(&mut buf).expect("what was sent"), message.len());
                }
                left -= now;
            }
            took.as_nanos() as f64
        }))
    }
}
