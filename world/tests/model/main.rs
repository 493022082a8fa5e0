//! Random programs on the sockets of a world: the model of `tests/model` judges the events that they get on a simulated
//! host, so a world does nothing that no kernel does.
//!
//! Without faults a host is held to what epoll promises beyond the contract.
#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

#[path = "../support/mod.rs"]
mod host;
#[path = "../../../tests/support/mod.rs"]
mod support;

macro_rules! of_the_model {
    ($($name:ident = $path:literal;)*) => {$(
        #[path = $path]
        mod $name;
    )*};
}

of_the_model! {
    check = "../../../tests/model/check.rs";
    contract = "../../../tests/model/contract.rs";
    ends = "../../../tests/model/ends.rs";
    grounds = "../../../tests/model/grounds.rs";
    ops = "../../../tests/model/ops.rs";
    rescue = "../../../tests/model/rescue.rs";
    shrink = "../../../tests/model/shrink.rs";
    timers = "../../../tests/model/timers.rs";
    unix_ends = "../../../tests/model/unix_ends.rs";
    world = "../../../tests/model/world/mod.rs";
}

use std::any::Any;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Instant;

use wakeful::net::{TcpListener, TcpStream};
use wakeful::sim::{Faults, Sim};
use wakeful::{Backend, Poll};

use contract::Rules;
use ends::End;
use grounds::{Chaotic, Kernel};
use ops::{Kind, Op};
use world::Ground;

/// A host of a world.
struct OnAHost<G>(G);

impl<G: Ground> Ground for OnAHost<G> {
    fn rules(&self) -> Rules {
        self.0.rules()
    }

    fn poll(&self) -> io::Result<Poll> {
        Poll::new()
    }

    fn pair(&self, kind: Kind) -> io::Result<[Box<dyn End>; 2]> {
        match kind {
            Kind::Stream => tcp_pair(),
            // `Raw` and `Wrapped` are Unix-domain streams.
            other => self.0.pair(other),
        }
    }

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn has_threads(&self) -> bool {
        true
    }

    fn is_a_host(&self) -> bool {
        true
    }
}

fn tcp_pair() -> io::Result<[Box<dyn End>; 2]> {
    let listener = TcpListener::bind(support::any_port())?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    Ok([Box::new(client), Box::new(server)])
}

impl End for TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Read::read(self, buf)
    }

    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Write::write(self, buf)
    }

    fn shutdown(&mut self, how: Shutdown) -> io::Result<bool> {
        TcpStream::shutdown(self, how).map(|()| true)
    }

    fn duplicate(&self) -> Option<Box<dyn Any + Send>> {
        unix_ends::duplicate(self)
    }
}

/// Runs a sequence as the main task of a host.
fn run<G: Ground + Send + 'static>(sim: &Sim, ground: G, ops: &[Op]) -> Result<(), String> {
    // Its thread isn't one of the world.
    rescue::Limit::start();
    let ops = ops.to_vec();
    host::on_a_host(sim, move || world::run(&OnAHost(ground), &ops))?
}

#[test]
fn world() {
    check::check("world", |_, ops| run(&Sim::replayed(0, Faults::NONE, &[]), Kernel(Backend::Sim), ops));
}

#[test]
fn faulty_world() {
    check::check("faulty_world", |seed, ops| {
        run(&Sim::with_faults(seed, Faults::TOKIO), Chaotic(Kernel(Backend::Sim), seed), ops)
    });
}
