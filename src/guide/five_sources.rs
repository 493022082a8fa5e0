//! The program of the recipe "Five sources in one loop", which `examples/five_sources` builds.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libc::O_NONBLOCK;
use signal_hook::consts::SIGTERM;
use signal_hook_mio::v1_0::Signals;
use wakeful::{event::Source, net::UdpSocket, process::ChildExit, unix::pipe, IoSource};
use wakeful::{Events, Interest, Poll, Timer, Token};

/// Reads until `WouldBlock` or the end, as a program must after each event, and shows what came.
fn show(name: &str, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) {
    let mut bytes = [0; 1024];
    while let Ok(n @ 1..) = read(&mut bytes) {
        println!("{name}: {}", String::from_utf8_lossy(&bytes[..n]).trim_end());
    }
}

fn main() -> io::Result<()> {
    let mut child = Command::new("sh").args(["-c", "sleep 1; echo done"]).stdout(Stdio::piped()).spawn()?;
    let mut out = pipe::Receiver::from(child.stdout.take().expect("it is piped"));
    out.set_nonblocking(true)?;
    let (mut exit, mut signals) = (ChildExit::new(&child)?, Signals::new([SIGTERM])?);
    let (mut timer, mut udp) = (Timer::new(), UdpSocket::bind("127.0.0.1:7007".parse().unwrap())?);
    timer.set_every(Instant::now(), Duration::from_millis(300))?;
    // Opened anew, the terminal is non-blocking for this program alone.
    let mut keys = IoSource::new(File::options().read(true).custom_flags(O_NONBLOCK).open("/dev/stdin")?);

    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
    let sources: [&mut dyn Source; 6] = [&mut out, &mut exit, &mut signals, &mut keys, &mut timer, &mut udp];
    for (number, source) in sources.into_iter().enumerate() {
        poll.registry().register(source, Token(number), Interest::READABLE)?;
    }
    loop {
        match poll.poll(&mut events, None) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            match event.token().0 {
                0 => show("output", |bytes| out.read(bytes)),
                1 => println!("the child has ended: {}", child.wait()?),
                2 if signals.pending().next().is_some() => return Ok(()),
                3 => show("keys", |bytes| keys.try_io(|mut file| file.read(bytes))),
                4 => println!("tick"),
                _ => show("UDP", |bytes| udp.recv(bytes)),
            }
        }
    }
}
