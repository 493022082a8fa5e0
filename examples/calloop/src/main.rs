//! A calloop loop with a timer and a ping from another thread, on this library: see the patch in the manifest.
//!
//! Invariant: nothing here names the library.

use std::error::Error;
use std::thread;
use std::time::Duration;

use calloop::ping::make_ping;
use calloop::timer::{TimeoutAction, Timer};
use calloop::EventLoop;

const PINGS: u32 = 3;

#[derive(Default)]
struct Seen {
    pings: u32,
    ticks: u32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut event_loop = EventLoop::<Seen>::try_new()?;
    let handle = event_loop.handle();

    let (ping, pinged) = make_ping()?;
    handle.insert_source(pinged, |(), _, seen| seen.pings += 1)?;
    let interval = Duration::from_millis(5);
    handle.insert_source(Timer::from_duration(interval), move |_, _, seen| {
        seen.ticks += 1;
        TimeoutAction::ToDuration(interval)
    })?;

    let thread = thread::spawn(move || {
        for _ in 0..PINGS {
            thread::sleep(Duration::from_millis(20));
            ping.ping();
        }
    });
    let mut seen = Seen::default();
    // Pings before a dispatch merge, so the end of the thread is what counts.
    while !(thread.is_finished() && seen.pings > 0) {
        event_loop.dispatch(None, &mut seen)?;
    }
    thread.join().expect("the thread doesn't panic");
    println!("{} pings and {} ticks", seen.pings, seen.ticks);
    Ok(())
}
