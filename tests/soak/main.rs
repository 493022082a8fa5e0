//! Linux: many connections for a long time. They connect, talk, end in one of five ways, and are replaced; every byte
//! is checked at both ends. The server must hold the full number from its first time to the end, and descriptors and
//! memory must stay flat. `cargo xtask soak` is the long form.
//!
//! Client and server are separate processes, so that each may have as many descriptors as there are connections.
#![cfg(all(target_os = "linux", feature = "net"))]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use wakeful::Backend;

mod client;
mod plan;
mod process;
mod server;

use client::Client;
use process::{Part, Sample, Samples};

const SERVER: &str = "WAKEFUL_SOAK_SERVER";

/// The other process; not a test itself.
#[test]
fn server() {
    let Ok(value) = std::env::var(SERVER) else { return };
    let (backend, connections) = value.split_once(' ').expect("a backend and a number");
    let connections = connections.parse().expect("a number");
    process::allow_descriptors(client::descriptors(connections));
    server::run(backend.parse().expect("a backend"), connections);
}

#[test]
fn soak() {
    let connections = setting("CONNECTIONS").unwrap_or(200);
    let time = Duration::from_millis(setting("MILLISECONDS").unwrap_or(1000));
    let seed = setting("SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        now.as_nanos() as u64
    });
    let backends = match std::env::var("WAKEFUL_SOAK_BACKEND") {
        Ok(name) => vec![name.parse().expect("a backend")],
        Err(_) => Backend::available().to_vec(),
    };
    for backend in backends {
        soak_on(backend, connections as usize, time, seed);
    }
}

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(format!("WAKEFUL_SOAK_{name}")).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("WAKEFUL_SOAK_{name} is no number: {value}")))
}

fn soak_on(backend: Backend, connections: usize, time: Duration, seed: u64) {
    println!("soak: {connections} connections on {backend}, {} s, seed {seed}", time.as_secs_f64());
    process::allow_descriptors(client::descriptors(connections));
    let server = Server::start(backend, connections);
    let unconnected = process::open_descriptors();
    let mut client = Client::new(backend, connections, seed, server.addresses.clone());
    let before = process::open_descriptors();
    let (mut ours, mut tick) = (Samples::default(), Instant::now());
    let mut start = None;
    let took = loop {
        client.turn(true);
        // The time counts from the first full number.
        if start.is_none() && client.is_full() {
            start = Some(Instant::now());
        }
        let Some(elapsed) = start.map(|start| start.elapsed()) else { continue };
        // On any machine: as many connections were replaced as are held, and there are enough samples.
        let has_turned = client.ended() >= connections as u64;
        if elapsed >= time && has_turned && ours.has_later() && server.samples().has_later() {
            break elapsed.as_secs_f64();
        }
        if Instant::now() < tick {
            continue;
        }
        tick = Instant::now() + Duration::from_millis(200);
        let is_first = elapsed < time / 3 || !ours.has_first() || !server.samples().has_first();
        let part = if is_first { Part::First } else { Part::Later };
        server.samples().part = part;
        ours.part = part;
        let sample = Sample::now(client.alive());
        assert_eq!(sample.descriptors, before + client.alive().now, "{sample:?}, and {before} before");
        ours.add(sample);
        let theirs = server.samples().last().unwrap_or_default();
        println!(
            "PROGRESS {} ms: {}; descriptors {} and {}, heap {} and {} KiB, memory {} and {} KiB",
            elapsed.as_millis(),
            client.report(),
            sample.descriptors,
            theirs.descriptors,
            sample.heap >> 10,
            theirs.heap >> 10,
            sample.resident >> 10,
            theirs.resident >> 10,
        );
    };
    let ended = client.ended();
    server.samples().part = Part::Over;
    client.finish();
    let report = client.report();
    drop(client);
    assert_eq!(process::open_descriptors(), unconnected, "the client has left descriptors open");
    let theirs = server.end();
    println!(
        "SUM {backend}, {connections} connections, {took:.1} s, seed {seed}: {ended} replaced; {report}"
    );
    println!("SUM server: {}", theirs.judged(connections));
    println!("SUM client: {}", ours.judged(connections));
}

/// The process at the other end.
struct Server {
    child: std::process::Child,
    addresses: Vec<SocketAddr>,
    samples: Arc<Mutex<Samples>>,
    reader: thread::JoinHandle<()>,
}

impl Server {
    fn start(backend: Backend, connections: usize) -> Server {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "server", "--nocapture", "--test-threads=1"])
            .env(SERVER, format!("{backend} {connections}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program again");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let addresses = lines.find_map(|line| {
            let addresses = line.split_once("ADDRESSES ")?.1;
            Some(addresses.split(' ').map(|address| address.parse().unwrap()).collect())
        });
        let samples = Arc::new(Mutex::new(Samples::default()));
        let reader = thread::spawn({
            let samples = Arc::clone(&samples);
            move || {
                for line in lines {
                    if let Some(sample) = line.strip_prefix("SAMPLE ") {
                        samples.lock().unwrap().add(sample.parse().expect("a sample"));
                    }
                }
            }
        });
        Server { child, addresses: addresses.expect("the server's addresses"), samples, reader }
    }

    fn samples(&self) -> MutexGuard<'_, Samples> {
        self.samples.lock().unwrap()
    }

    fn end(mut self) -> Samples {
        // The end of its input ends the server.
        drop(self.child.stdin.take());
        let status = self.child.wait().expect("the server's end");
        self.reader.join().unwrap();
        assert!(status.success(), "the server: {status}");
        let samples = self.samples.lock().unwrap();
        samples.clone()
    }
}
