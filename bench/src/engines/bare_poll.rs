//! poll(2) and nothing else, for its rows: what a list costs in the kernel alone.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use crate::engine::{std_sockets, Engine, Source, Wake};

#[derive(Default)]
pub struct BarePoll {
    list: Vec<libc::pollfd>,
    tokens: Vec<usize>,
}

/// No row that this competes in has one.
pub enum NoWaker {}

impl Wake for NoWaker {
    fn wake(&self) {
        match *self {}
    }
}

impl Engine for BarePoll {
    type Waker = NoWaker;
    type Events = Vec<usize>;
    std_sockets!();

    fn open() -> io::Result<Self> {
        Ok(BarePoll::default())
    }

    fn competes(row: &str) -> bool {
        row.starts_with("w2-")
    }

    fn waker(&mut self) -> io::Result<NoWaker> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn events() -> Vec<usize> {
        Vec::new()
    }

    fn poll(&mut self, events: &mut Vec<usize>, timeout: Option<Duration>) {
        events.clear();
        let milliseconds = timeout.map_or(-1, |timeout| timeout.as_millis() as libc::c_int);
        let (list, count) = (self.list.as_mut_ptr(), self.list.len() as libc::nfds_t);
        // SAFETY: as many entries as stated.
        let found = unsafe { libc::poll(list, count, milliseconds) };
        let found = usize::try_from(found).expect("poll");
        if found > 0 {
            let answers = self.list.iter().zip(&self.tokens).filter(|(fd, _)| fd.revents != 0);
            events.extend(answers.map(|(_, token)| *token).take(found));
        }
    }

    fn readable(events: &Vec<usize>, each: impl FnMut(usize)) {
        events.iter().copied().for_each(each);
    }
}

impl<S: AsFd> Source<BarePoll> for S {
    fn register(&mut self, engine: &mut BarePoll, token: usize) -> io::Result<()> {
        let fd = self.as_fd().as_raw_fd();
        engine.list.push(libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        engine.tokens.push(token);
        Ok(())
    }

    fn reregister(&mut self, engine: &mut BarePoll, token: usize) -> io::Result<()> {
        self.deregister(engine)?;
        self.register(engine, token)
    }

    fn deregister(&mut self, engine: &mut BarePoll) -> io::Result<()> {
        let number = self.as_fd().as_raw_fd();
        let place = engine.list.iter().position(|fd| fd.fd == number).ok_or(io::ErrorKind::NotFound)?;
        engine.list.swap_remove(place);
        engine.tokens.swap_remove(place);
        Ok(())
    }
}
