//! W2: what a poll costs, by how many sources are registered and ready.

use std::io::Read;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::batch::Batch;
use crate::clock::Stopwatch;
use crate::engine::{Engine, Source};
use crate::run::{Row, Workload};
use crate::sockets;

pub fn rows() -> Vec<Row> {
    const NOW: Option<Duration> = Some(Duration::ZERO);
    const SOON: Option<Duration> = Some(Duration::from_secs(1));

    let mut rows = Vec::new();
    for (registered, share) in [(1_000, 1.0), (10_000, 0.5)] {
        rows.push(
            Row::apart(
                &format!("w2-0-of-{registered}"),
                &format!("Poll, nothing of {registered} ready"),
                "ns",
                Nothing { registered },
            )
            .share(share),
        );
        for (ready, share) in [(1, share), (64, share / 2.0), (1_000, share / 4.0)] {
            rows.push(
                Row::apart(
                    &format!("w2-{ready}-of-{registered}"),
                    &format!("Poll, {ready} of {registered} ready; for each event"),
                    "ns",
                    Ready { registered, ready, timeout: NOW },
                )
                .share(share),
            );
        }
    }
    rows.push(Row::new(
        "w2-1-of-1000-timeout",
        "Poll with a timeout of 1 s, 1 of 1000 ready",
        "ns",
        Ready { registered: 1_000, ready: 1, timeout: SOON },
    ));
    // What a one-shot kernel costs, by how many are registered.
    for registered in [10, 100] {
        rows.push(Row::new(
            &format!("w2-0-of-{registered}"),
            &format!("Poll, nothing of {registered} ready"),
            "ns",
            Nothing { registered },
        ));
    }
    rows
}

#[derive(Clone)]
struct Nothing {
    registered: usize,
}

impl Workload for Nothing {
    fn set_up<E: Engine>(&self) -> Result<Batch> {
        let mut set = Set::<E>::new(self.registered)?;
        Ok(Batch::times(move |times| {
            let start = Instant::now();
            for _ in 0..times {
                set.engine.poll(&mut set.events, Some(Duration::ZERO));
            }
            let took = start.elapsed();
            E::readable(&set.events, |token| panic!("source {token} is ready"));
            took.as_nanos() as f64
        }))
    }
}

#[derive(Clone)]
struct Ready {
    registered: usize,
    ready: usize,
    timeout: Option<Duration>,
}

impl Workload for Ready {
    fn operations(&self) -> usize {
        self.ready
    }

    fn set_up<E: Engine>(&self) -> Result<Batch> {
        let Ready { registered, ready, timeout } = *self;
        let mut set = Set::<E>::new(registered)?;
        let mut watch = Stopwatch::new();
        let mut turn = 0;
        Ok(Batch::times_of(ready, move |times| {
            for _ in 0..times {
                // Spread over all, and never the same ones twice in a row.
                turn += 1;
                let stride = registered / ready;
                let chosen = move |index: usize| index * stride + turn % stride;
                (0..ready).for_each(|index| set.make_ready(chosen(index)));
                let mut found = 0;
                while found < ready {
                    watch.time(|| {
                        set.engine.poll(&mut set.events, timeout);
                        E::readable(&set.events, |token| {
                            std::hint::black_box(token);
                            found += 1;
                        });
                    });
                }
                assert_eq!(found, ready);
                (0..ready).for_each(|index| set.drain(chosen(index)));
            }
            watch.take()
        }))
    }
}

/// eventfds of which some are made ready by writing.
struct Set<E: Engine> {
    engine: E,
    events: E::Events,
    sources: Vec<E::Pipe>,
}

impl<E: Engine> Set<E> {
    fn new(count: usize) -> Result<Set<E>> {
        let mut set = Set { engine: E::open()?, events: E::events(), sources: Vec::new() };
        for token in 0..count {
            let mut source = E::pipe(sockets::eventfd()?);
            source.register(&mut set.engine, token)?;
            set.sources.push(source);
        }
        // libuv takes registrations to the kernel with the next poll.
        set.engine.poll(&mut set.events, Some(Duration::ZERO));
        Ok(set)
    }

    fn make_ready(&mut self, index: usize) {
        sockets::notify(&self.sources[index]).expect("write");
    }

    fn drain(&mut self, index: usize) {
        let mut buf = [0; 64];
        while self.sources[index].read(&mut buf).is_ok() {}
    }
}

impl<E: Engine> Drop for Set<E> {
    fn drop(&mut self) {
        for source in &mut self.sources {
            source.deregister(&mut self.engine).expect("deregister");
        }
    }
}
