//! A process that is watched by a descriptor: Linux' pidfd.
//!
//! Invariant: dropping it ends its registration, even while a child that is being started has a duplicate of the
//! descriptor.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Weak};

use crate::engine::Engine;
use crate::poll::{Registry, Source};
use crate::readiness::{Interest, Token};
use crate::source::IoSource;

pub(super) struct Described {
    source: IoSource<OwnedFd>,
    /// That of the registration, if there is one.
    engine: Weak<Engine>,
}

impl Described {
    pub(super) fn new(process: OwnedFd) -> Described {
        Described { source: IoSource::new(process), engine: Weak::new() }
    }
}

impl Source for Described {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.source.register(registry, token, interest)?;
        self.engine = Arc::downgrade(registry.engine());
        Ok(())
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.source.reregister(registry, token, interest)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.source.deregister(registry)?;
        self.engine = Weak::new();
        Ok(())
    }
}

impl Drop for Described {
    fn drop(&mut self) {
        // epoll watches a file until each of its descriptors is closed. A program with children has duplicates of all
        // descriptors at times: in another child, from fork to exec.
        if let Some(engine) = self.engine.upgrade() {
            // A backend whose registrations have keys doesn't know it by the descriptor: it ends with the source.
            let _ = engine.selector.deregister(self.source.as_raw_fd(), None);
        }
    }
}
