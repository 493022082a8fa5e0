//! What the engines in C have in common: callbacks that c/*.c has made into lists.

use super::CAPACITY;

/// c/ready.h's.
#[repr(C)]
pub struct Ready {
    pub count: usize,
    pub tokens: [usize; CAPACITY],
}

/// An engine of seven functions. `$limit` makes the number that its `poll` wants of a timeout; -1 is none.
macro_rules! c_engine {
    (
        $Engine:ident: $Limit:ty, $limit:expr, defers: $defers:literal;
        $open:ident, $close:ident, $poll:ident, $wake:ident, $add:ident, $change:ident, $remove:ident
    ) => {
        use std::io;
        use std::os::fd::AsRawFd;
        use std::os::raw::{c_int, c_void};
        use std::sync::atomic::{AtomicPtr, Ordering};
        use std::time::Duration;

        use super::c::Ready;
        use crate::engine::{std_sockets, Engine, Source, Wake};

        pub struct $Engine {
            engine: *mut c_void,
            /// By descriptor, as a program in C has them beside its own data.
            sources: Vec<*mut c_void>,
        }

        extern "C" {
            fn $open() -> *mut c_void;
            fn $close(engine: *mut c_void);
            fn $poll(engine: *mut c_void, timeout: $Limit) -> *const Ready;
            fn $wake(engine: *mut c_void);
            fn $add(engine: *mut c_void, fd: c_int, token: usize) -> *mut c_void;
            fn $change(source: *mut c_void, token: usize) -> c_int;
            fn $remove(source: *mut c_void);
        }

        impl Engine for $Engine {
            type Waker = Waker;
            /// The engine keeps them until the next poll.
            type Events = *const Ready;
            std_sockets!();

            const DEFERS: bool = $defers;

            fn open() -> io::Result<Self> {
                // SAFETY: nothing is passed.
                match unsafe { $open() } {
                    engine if engine.is_null() => Err(io::ErrorKind::OutOfMemory.into()),
                    engine => Ok($Engine { engine, sources: Vec::new() }),
                }
            }

            fn waker(&mut self) -> io::Result<Waker> {
                Ok(Waker(AtomicPtr::new(self.engine)))
            }

            fn events() -> *const Ready {
                std::ptr::null()
            }

            #[inline(always)]
            fn poll(&mut self, events: &mut *const Ready, timeout: Option<Duration>) {
                // SAFETY: the engine is open.
                *events = unsafe { $poll(self.engine, timeout.map_or(-1, $Engine::limit)) };
            }

            fn readable(events: &*const Ready, mut each: impl FnMut(usize)) {
                // SAFETY: the engine's list, whose first tokens are set, is only changed by its next poll.
                if let Some(ready) = unsafe { events.as_ref() } {
                    ready.tokens[..ready.count].iter().for_each(|&token| each(token));
                }
            }
        }

        impl $Engine {
            fn limit(timeout: Duration) -> $Limit {
                let limit: fn(Duration) -> $Limit = $limit;
                limit(timeout)
            }
        }

        impl Drop for $Engine {
            fn drop(&mut self) {
                // SAFETY: the sources and the engine are open, and no thread wakes it any more.
                unsafe {
                    for &source in self.sources.iter().filter(|source| !source.is_null()) {
                        $remove(source);
                    }
                    $close(self.engine);
                }
            }
        }

        impl<S: AsRawFd> Source<$Engine> for S {
            fn register(&mut self, engine: &mut $Engine, token: usize) -> io::Result<()> {
                let fd = self.as_raw_fd();
                if engine.sources.len() <= fd as usize {
                    engine.sources.resize(fd as usize + 1, std::ptr::null_mut());
                }
                // SAFETY: the engine is open.
                let source = unsafe { $add(engine.engine, fd, token) };
                engine.sources[fd as usize] = source;
                if source.is_null() {
                    return Err(io::ErrorKind::Other.into());
                }
                Ok(())
            }

            fn reregister(&mut self, engine: &mut $Engine, token: usize) -> io::Result<()> {
                // SAFETY: registered, so open.
                match unsafe { $change(engine.sources[self.as_raw_fd() as usize], token) } {
                    0 => Ok(()),
                    _ => Err(io::ErrorKind::Other.into()),
                }
            }

            fn deregister(&mut self, engine: &mut $Engine) -> io::Result<()> {
                let source =
                    std::mem::replace(&mut engine.sources[self.as_raw_fd() as usize], std::ptr::null_mut());
                // SAFETY: registered, so open, and now forgotten.
                unsafe { $remove(source) };
                Ok(())
            }
        }

        pub struct Waker(AtomicPtr<c_void>);

        impl Wake for Waker {
            fn wake(&self) {
                // SAFETY: the workloads keep the engine as long as its wakers.
                unsafe { $wake(self.0.load(Ordering::Relaxed)) };
            }
        }
    };
}

pub(super) use c_engine;
