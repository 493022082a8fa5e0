use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};
use wakeful::net::{TcpListener, TcpStream};
use wakeful::{Events, Interest, Poll, Token};
use wakeful_world::{Faults, World};

fn server() {
    let (mut poll, mut events) = (Poll::new().unwrap(), Events::with_capacity(8));
    let mut listener = TcpListener::bind("10.0.0.1:80".parse().unwrap()).unwrap();
    poll.registry().register(&mut listener, Token(99), Interest::READABLE).unwrap();
    let mut conns: Vec<TcpStream> = Vec::new();
    loop {
        if poll.poll(&mut events, None).is_err() {
            continue;
        }
        for event in &events {
            if event.token() == Token(99) {
                while let Ok((mut c, _)) = listener.accept() {
                    poll.registry().register(&mut c, Token(conns.len()), Interest::READABLE).unwrap();
                    conns.push(c);
                }
            } else {
                let c = &mut conns[event.token().0];
                let mut buf = [0; 64];
                loop {
                    match c.read(&mut buf) {
                        Ok(0) => break,
                        Ok(n) => {
                            c.write_all(&buf[..n]).unwrap();
                        }
                        Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                        Err(e) => panic!("{e}"),
                    }
                }
            }
        }
    }
}
fn client(n: usize, pause: Duration) {
    let (mut poll, mut events) = (Poll::new().unwrap(), Events::with_capacity(8));
    let mut s = TcpStream::connect("10.0.0.1:80".parse().unwrap()).unwrap();
    poll.registry().register(&mut s, Token(0), Interest::READABLE | Interest::WRITABLE).unwrap();
    poll.poll(&mut events, None).unwrap();
    for _ in 0..n {
        s.write_all(&[7; 64]).unwrap();
        let mut got = 0;
        while got < 64 {
            match s.read(&mut [0; 64]) {
                Ok(n) => got += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    let _ = poll.poll(&mut events, None);
                }
                Err(e) => panic!("{e}"),
            }
        }
        std::thread::sleep(pause);
    }
}
fn measure(name: &str, n: u64, build: impl Fn(&World) + Send + Sync + 'static) {
    let start = Instant::now();
    let cores = std::env::var("CORES").map_or(1, |c| c.parse().unwrap());
    let report = World::seeds(0..n).faults(Faults::NONE).twice(0).cores(cores).check(build);
    let took = start.elapsed();
    println!(
        "{name}: {:?} a run, {} turns a run, {:?} virtual, failures {} {}",
        took / n as u32,
        report.turns / n,
        report.virtual_time / n as u32,
        report.failures,
        report.failure.map_or(String::new(), |f| f.reason)
    );
}
fn main() {
    let which = std::env::args().nth(1).unwrap_or_default();
    if which.is_empty() || which == "empty" {
        measure("empty", 2000, |w| w.end_after(Duration::ZERO));
    }
    if which.is_empty() || which == "one" {
        measure("one host", 2000, |w| {
            w.host("10.0.0.1", || std::thread::sleep(Duration::from_secs(3600)));
            w.end_when_done(Duration::from_secs(4000));
        });
    }
    if which.is_empty() || which == "five" {
        measure("five hosts", 100, |w| {
            w.server("10.0.0.1", server);
            for i in 2..6 {
                w.host(format!("10.0.0.{i}"), || client(450, Duration::from_millis(131)));
            }
        });
    }
}
