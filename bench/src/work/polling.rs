//! W9: the API of polling, on polling and on wakeful.

use std::time::{Duration, Instant};

use crate::batch::Batch;
use crate::run::{Contestant, Row};
use crate::sockets;

pub fn rows() -> Vec<Row> {
    [
        ("w9-one-shot", "polling's API: modify a source that is ready, and wait", Work::OneShot(None)),
        (
            "w9-one-shot-timeout",
            "polling's API: the same with a timeout of 1 s",
            Work::OneShot(Some(Duration::from_secs(1))),
        ),
        ("w9-notify", "polling's API: notify, and wait", Work::Notify),
        ("w9-empty", "polling's API: wait, nothing ready", Work::Empty),
    ]
    .into_iter()
    .map(|(id, title, work)| Row {
        id: id.to_owned(),
        title: title.to_owned(),
        unit: "ns",
        share: 1.0,
        make: Box::new(move |_| {
            Ok(vec![
                Contestant { name: "polling".into(), batch: on_polling(work)? },
                Contestant { name: "polling on wakeful".into(), batch: on_wakeful(work)? },
            ])
        }),
    })
    .collect()
}

#[derive(Clone, Copy)]
enum Work {
    OneShot(Option<Duration>),
    Notify,
    Empty,
}

/// The two have the same API, and no type in common.
macro_rules! contestant {
    ($name:ident, $polling:ident) => {
        fn $name(work: Work) -> anyhow::Result<Batch> {
            let poller = $polling::Poller::new()?;
            let mut events = $polling::Events::new();
            let source = std::fs::File::from(sockets::eventfd()?);
            // SAFETY: nothing waits any more when the source is closed, right before the poller.
            unsafe { poller.add(&source, $polling::Event::readable(7))? };
            if let Work::OneShot(_) = work {
                sockets::notify(&source)?;
            }
            Ok(Batch::times(move |times| {
                let start = Instant::now();
                for _ in 0..times {
                    events.clear();
                    match work {
                        Work::OneShot(timeout) => {
                            poller.modify(&source, $polling::Event::readable(7)).expect("modify");
                            let found = poller.wait(&mut events, timeout).expect("wait");
                            assert!(found == 1, "an event was lost");
                        }
                        Work::Notify => {
                            poller.notify().expect("notify");
                            let found = poller.wait(&mut events, None).expect("wait");
                            assert!(found == 0, "a notification is no event");
                        }
                        Work::Empty => {
                            let found = poller.wait(&mut events, Some(Duration::ZERO)).expect("wait");
                            assert!(found == 0, "nothing is ready");
                        }
                    }
                }
                start.elapsed().as_nanos() as f64
            }))
        }
    };
}

contestant!(on_polling, polling);
contestant!(on_wakeful, polling_on_wakeful);
