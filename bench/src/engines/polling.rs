use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

use polling::{Event, Events, PollMode, Poller};

use super::CAPACITY;
use crate::engine::{std_sockets, Engine, Source, Wake};

/// In the mode that is nearest to the others: its default is one-shot, which costs a system call more for each event.
pub struct Polling(Arc<Poller>);

impl Engine for Polling {
    type Waker = Arc<Poller>;
    type Events = Events;
    std_sockets!();

    fn open() -> io::Result<Self> {
        Ok(Polling(Arc::new(Poller::new()?)))
    }

    fn waker(&mut self) -> io::Result<Arc<Poller>> {
        Ok(Arc::clone(&self.0))
    }

    fn events() -> Events {
        Events::with_capacity(NonZeroUsize::new(CAPACITY).expect("room for events"))
    }

    #[inline(always)]
    fn poll(&mut self, events: &mut Events, timeout: Option<Duration>) {
        events.clear();
        self.0.wait(events, timeout).expect("polling's wait");
    }

    fn readable(events: &Events, mut each: impl FnMut(usize)) {
        for event in events.iter() {
            if event.readable {
                each(event.key);
            }
        }
    }

    /// A wake has no event.
    fn woken(events: &Events) -> bool {
        events.is_empty()
    }
}

impl<S: AsFd + AsRawFd> Source<Polling> for S {
    fn register(&mut self, engine: &mut Polling, token: usize) -> io::Result<()> {
        // SAFETY: the workloads deregister each source that they close.
        unsafe { engine.0.add_with_mode(&*self, Event::readable(token), PollMode::Edge) }
    }

    fn reregister(&mut self, engine: &mut Polling, token: usize) -> io::Result<()> {
        engine.0.modify_with_mode(&*self, Event::readable(token), PollMode::Edge)
    }

    fn deregister(&mut self, engine: &mut Polling) -> io::Result<()> {
        engine.0.delete(&*self)
    }
}

impl Wake for Arc<Poller> {
    fn wake(&self) {
        self.notify().expect("polling's notify");
    }
}
