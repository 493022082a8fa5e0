//! The eight programs on loopback sockets: each correct one ends, and a peer of the test brings each bug out.
//!
//! Each host runs on a thread with a runtime of its own, as a host of a world does. What a world does by a fault, the
//! peer does here by hand: it writes in pieces, hangs up, doesn't read.

mod loopback;

use std::future::Future;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use loopback::{addresses, block_on};
use world_cluster::bugs::*;

/// Runs a host on a thread of its own. Returns the message of its panic, if it panics.
fn host<F: Future<Output = std::io::Result<()>>>(
    program: impl FnOnce() -> F + Send + 'static,
) -> mpsc::Receiver<Option<String>> {
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        let panic = thread::spawn(|| block_on(program()).unwrap()).join().err();
        let message = panic.map(|panic| match panic.downcast::<String>() {
            Ok(message) => *message,
            Err(panic) => panic.downcast_ref::<&str>().unwrap_or(&"").to_string(),
        });
        let _ = ended.send(message);
    });
    end
}

/// Checks that a host panics with a message that contains `part`.
fn panics(host: mpsc::Receiver<Option<String>>, part: &str) {
    let message = host.recv_timeout(Duration::from_secs(20)).expect("the host goes on");
    let message = message.expect("the host has ended without a panic");
    assert!(message.contains(part), "{message}");
}

/// Connects to a host that is about to start.
fn connect(to: SocketAddr) -> TcpStream {
    let limit = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpStream::connect(to) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < limit, "{error}"),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn frame(words: &[u64]) -> Vec<u8> {
    let words: Vec<_> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    [&(words.len() as u32 / 8).to_le_bytes(), &words[..]].concat()
}

/// Makes one request on a connection of its own, and returns the answer's first word.
fn ask(to: SocketAddr, words: &[u64]) -> u64 {
    let mut stream = connect(to);
    stream.write_all(&frame(words)).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    u64::from_le_bytes(answer[4..].try_into().unwrap())
}

/// Runs a scenario's correct program to its end.
fn ends(scenario: Scenario) {
    let at = addresses(scenario.hosts.len());
    let limit = Instant::now() + scenario.limit;
    let start = |one: &'static Host| {
        let at = at.clone();
        (one, host(move || (one.run)(false, at)))
    };
    let hosts: Vec<_> = scenario.hosts.iter().map(start).collect();
    for (one, ended) in hosts.iter().filter(|(one, _)| one.ends) {
        let panic = ended.recv_timeout(limit.saturating_duration_since(Instant::now())).expect(one.name);
        assert_eq!(panic, None, "{}", one.name);
    }
    for (one, ended) in hosts.iter().filter(|(one, _)| !one.ends) {
        assert_eq!(ended.try_recv(), Err(mpsc::TryRecvError::Empty), "{}", one.name);
    }
}

#[test]
fn the_correct_programs_end() {
    let runs: Vec<_> =
        SCENARIOS.into_iter().map(|scenario| (scenario, thread::spawn(move || ends(scenario)))).collect();
    for (scenario, run) in runs {
        assert!(run.join().is_ok(), "{}", scenario.name);
    }
}

#[test]
fn one_piece_loses_the_second_piece() {
    for bug in [false, true] {
        let at = addresses(1)[0];
        host(move || one_piece::server(bug, at));
        let mut stream = connect(at);
        stream.set_nodelay(true).unwrap();
        stream.write_all(&[1; 50]).unwrap();
        if !bug {
            thread::sleep(Duration::from_millis(50));
            stream.write_all(&[1; 150]).unwrap();
        }
        let mut sum = [0; 8];
        stream.read_exact(&mut sum).unwrap();
        // Fifty bytes are no message, yet the bug answers.
        assert_eq!(u64::from_be_bytes(sum), if bug { 50 } else { 200 });
    }
}

#[test]
fn lost_wake_leaves_a_request_unsent() {
    let answer = |listener: &TcpListener| {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 12];
        stream.read_exact(&mut request).unwrap();
        let number = u64::from_le_bytes(request[4..].try_into().unwrap());
        stream.write_all(&frame(&[number + 1])).unwrap();
        number
    };
    for bug in [false, true] {
        let at = addresses(1)[0];
        let listener = TcpListener::bind(at).unwrap();
        let client = host(move || lost_wake::client(bug, at));
        assert_eq!(answer(&listener), 0);
        // Meanwhile the client queues the next request.
        drop(listener);
        thread::sleep(Duration::from_millis(300));
        let listener = TcpListener::bind(at).unwrap();
        if bug {
            panics(client, "request 1 isn't answered");
        } else {
            assert_eq!(answer(&listener), 1);
        }
    }
}

#[test]
fn retry_forever_connects_without_a_pause() {
    let at = addresses(1)[0];
    let correct = host(move || retry_forever::client(false, at));
    panics(host(move || retry_forever::client(true, at)), "attempts to connect in a row");
    // The correct client goes on in its time.
    assert_eq!(correct.recv_timeout(Duration::from_secs(1)), Err(mpsc::RecvTimeoutError::Timeout));
}

#[test]
fn counted_twice_adds_a_repeated_amount_again() {
    for bug in [false, true] {
        let at = addresses(1)[0];
        host(move || counted_twice::server(bug, at));
        for _ in 0..2 {
            ask(at, &[counted_twice::ADD, 1, 10]);
        }
        assert_eq!(ask(at, &[counted_twice::TOTAL]), if bug { 20 } else { 10 });
    }
}

#[test]
fn lease_by_clock_takes_a_late_write() {
    use lease_by_clock::{LEASE, READ, TERM, WRITE};
    for bug in [false, true] {
        let at = addresses(1)[0];
        let store = host(move || lease_by_clock::store(bug, at));
        assert_eq!(ask(at, &[LEASE]), 1);
        assert_eq!(ask(at, &[READ]), 0);
        assert_eq!(ask(at, &[LEASE]), 0, "another lease during the first one");
        // The first worker is paused for longer than its lease lasts.
        thread::sleep(TERM + Duration::from_millis(10));
        assert_eq!(ask(at, &[LEASE]), 2);
        assert_eq!(ask(at, &[WRITE, 2, 1]), 1);
        if bug {
            connect(at).write_all(&frame(&[WRITE, 1, 1])).unwrap();
            panics(store, "a write under lease 1 undoes another one");
        } else {
            assert_eq!(ask(at, &[WRITE, 1, 1]), 0);
            assert_eq!(ask(at, &[READ]), 1);
        }
    }
}

#[test]
fn queue_without_limit_grows_for_a_reader_that_stands_still() {
    for bug in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let reader = connect(listener.local_addr().unwrap());
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        // The kernel's buffers are full already.
        while (&stream).write(&[0; queue_without_limit::UPDATE]).is_ok() {}
        let server = host(move || async move {
            queue_without_limit::publish(bug, tokio::net::TcpStream::from_std(stream).unwrap()).await
        });
        if bug {
            panics(server, "updates are queued");
        } else {
            assert_eq!(
                server.recv_timeout(Duration::from_secs(20)),
                Ok(None),
                "the reader keeps its connection"
            );
        }
        drop(reader);
    }
}

#[test]
fn half_close_drops_the_answer() {
    for bug in [false, true] {
        let at = addresses(1)[0];
        host(move || half_close::server(bug, at));
        let mut stream = connect(at);
        stream.write_all(&frame(&[7])).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, if bug { Vec::new() } else { frame(&[8]) });
    }
}

#[test]
fn split_brain_serves_an_old_value() {
    for bug in [false, true] {
        let at = addresses(5);
        let [primary, backup, witness, far_primary, far_backup] = at[..] else { unreachable!() };
        // Neither reaches the other: its address is one at which nothing listens.
        host(move || split_brain::node(bug, 0, vec![primary, far_backup, witness]));
        host(move || split_brain::node(bug, 1, vec![far_primary, backup, witness]));
        host(move || split_brain::witness(witness));
        // The backup takes over after its silence, if it may.
        thread::sleep(Duration::from_millis(1500));
        let client = host(move || split_brain::client(primary, backup));
        if bug {
            panics(client, "node 1 serves 0 after 1 was acknowledged");
        } else {
            assert_eq!(client.recv_timeout(Duration::from_secs(20)), Ok(None));
        }
    }
}
