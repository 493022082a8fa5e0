//! The simulation as a backend, which does everything that the contract allows and nothing else.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Instant;

use wakeful::event::Source;
use wakeful::sim::{Address, Datagram, Receiver, Sender, Sim, Stream};
use wakeful::{Interest, Poll, Registry, Token};

use crate::contract::Rules;
use crate::ends::End;
use crate::ops::Kind;
use crate::world::Ground;

pub struct Simulated(Sim);

impl Simulated {
    pub fn new(seed: u64) -> Simulated {
        Simulated(Sim::new(seed))
    }
}

impl Ground for Simulated {
    fn rules(&self) -> Rules {
        Rules {
            exact: false,
            terse: false,
            raw_is_late: false,
            ends_in_both_directions: false,
            duplicates_live: false,
            raw_lives: false,
            raw_may_vanish: true,
            reports_own_shutdown: true,
            holds_back: false,
        }
    }

    fn poll(&self) -> io::Result<Poll> {
        Ok(self.0.new_poll())
    }

    fn kind(&self, kind: Kind) -> Kind {
        match kind {
            Kind::Datagram => Kind::Udp,
            kind => kind,
        }
    }

    fn pair(&self, kind: Kind) -> io::Result<[Box<dyn End>; 2]> {
        Ok(match kind {
            Kind::Pipe => {
                let (sender, receiver) = self.0.pipe();
                [Box::new(sender), Box::new(receiver)]
            }
            Kind::Udp | Kind::Datagram => {
                let (one, other) = (self.0.datagram(), self.0.datagram());
                let (first, second) = (one.address(), other.address());
                [Box::new(Connected(one, second)), Box::new(Connected(other, first))]
            }
            Kind::Stream | Kind::Raw | Kind::Wrapped => {
                let (one, other) = self.0.stream_pair();
                [Box::new(one), Box::new(other)]
            }
        })
    }

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn has_threads(&self) -> bool {
        false
    }
}

impl End for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Read::read(self, buf)
    }

    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Write::write(self, buf)
    }

    fn shutdown(&mut self, how: Shutdown) -> io::Result<bool> {
        Stream::shutdown(self, how).map(|()| true)
    }
}

impl End for Sender {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Write::write(self, buf)
    }
}

impl End for Receiver {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Read::read(self, buf)
    }

    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

struct Connected(Datagram, Address);

impl Source for Connected {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.0.register(registry, token, interest)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.0.reregister(registry, token, interest)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.0.deregister(registry)
    }
}

impl End for Connected {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.recv_from(buf).map(|(len, _)| len)
    }

    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.send_to(buf, self.1)
    }
}
