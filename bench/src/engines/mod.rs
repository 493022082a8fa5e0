//! The engines: one file each, and one line in the table.

mod bare_poll;
#[cfg(feature = "c")]
mod c;
#[cfg(feature = "c")]
mod libevent;
#[cfg(feature = "c")]
mod libuv;
mod mio;
mod polling;
mod raw;
mod wakeful;

pub use self::raw::OneShot;
use crate::engine::Engine;

/// How many events one poll may bring. libuv's and libevent's own limits are as high.
const CAPACITY: usize = 1024;

/// Something to be done with each engine.
pub trait Visitor {
    fn visit<E: Engine>(&mut self, name: &'static str);
}

macro_rules! engines {
    ($($(#[$present:meta])? $name:literal => $Engine:ty,)*) => {
        pub fn visit(visitor: &mut impl Visitor) {
            $($(#[$present])? visitor.visit::<$Engine>($name);)*
        }
    };
}

engines! {
    "mio" => mio::Mio,
    "wakeful" => wakeful::Wakeful<wakeful::Epoll>,
    "wakeful spin" => wakeful::Wakeful<wakeful::Spin>,
    "wakeful posix_poll" => wakeful::Wakeful<wakeful::PosixPoll>,
    "system calls" => raw::Raw,
    "poll(2)" => bare_poll::BarePoll,
    "polling" => polling::Polling,
    #[cfg(feature = "c")] "libuv" => libuv::LibUv,
    #[cfg(feature = "c")] "libevent" => libevent::LibEvent,
}
