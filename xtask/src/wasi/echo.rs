//! The echo example as a server in a runtime, driven from outside.

use super::runtime::{free_addr, Runtime};
use super::{program, Preview};
use crate::prelude::*;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::process::Child;

const CLIENTS: usize = 8;
const MESSAGES_EACH: usize = 500;
/// Longer than any answer takes on a machine under load.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(runtime: &Runtime, rounds: u32) -> Result<bool> {
    let program = program("echo", runtime.preview.target(), &["build", "--release", "--example", "echo"])?;

    let mut passed = 0;
    for round in 1..=rounds {
        let start = Instant::now();
        match drive(runtime, &program) {
            Ok(messages) => {
                passed += 1;
                println!("   echo: {messages} messages in {:.1?}", start.elapsed());
            }
            Err(error) => println!("   echo, round {round}: {error:#}"),
        }
    }
    println!("   echo: {passed} of {rounds} rounds passed");
    let bytes = netcat(runtime, &program).context("netcat")?;
    println!("   echo: netcat got its {bytes} bytes back");
    Ok(passed == rounds)
}

/// A program that knows nothing of us sends a file, and gets it back. The server ends the connection.
fn netcat(runtime: &Runtime, program: &str) -> Result<usize> {
    let (_server, addr) = Server::start(runtime, program)?;
    let mut command = Command::new("nc");
    // Ends its sending half with its input; gives up when nothing moves.
    command.args(["-N", "-w", "60"]).args([addr.ip().to_string(), addr.port().to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = command.spawn().with_context(|| start_failed(&command))?;
    let sent: Vec<u8> = (0..1 << 20).map(|index: u32| (index / 7) as u8).collect();
    let mut input = client.stdin.take().context("it has no input")?;
    let output = thread::scope(|scope| {
        let writer = scope.spawn(|| input.write_all(&sent).map(|()| drop(input)));
        let output = client.wait_with_output();
        // That it reads no more shows in what it says.
        let _ = writer.join().expect("the writer panicked");
        output
    })?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}", output.status, errors.trim_end());
    ensure!(
        output.stdout == sent,
        "of {} bytes {} have come back, or others",
        sent.len(),
        output.stdout.len()
    );
    Ok(sent.len())
}

fn drive(runtime: &Runtime, program: &str) -> Result<usize> {
    let (_server, addr) = Server::start(runtime, program)?;

    let (half, gone) = (thread::spawn(move || half_close(addr)), thread::spawn(move || vanish(addr)));
    let clients: Vec<_> = (0..CLIENTS).map(|seed| thread::spawn(move || talk(addr, seed))).collect();
    let mut messages = 0;
    for client in clients {
        messages += client.join().expect("a client panicked")?;
    }
    half.join().expect("a client panicked").context("half-close")?;
    gone.join().expect("a client panicked").context("a client that vanishes")?;
    // The clients that came and went have left it well.
    messages += talk(addr, CLIENTS)?;
    if runtime.preview == Preview::Two {
        datagrams(addr).context("datagrams")?;
    }
    Ok(messages)
}

/// The server in its runtime, which ends with this.
struct Server(Child);

impl Server {
    /// A server that answers, and where.
    fn start(runtime: &Runtime, program: &str) -> Result<(Server, SocketAddr)> {
        let addr = free_addr()?;
        let mut command = runtime.command(program, addr);
        match runtime.preview {
            Preview::One => command.args(["--descriptor", "3"]),
            Preview::Two => command.arg("--serve").arg(addr.to_string()),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let server = Server(command.spawn().with_context(|| start_failed(&command))?);
        drop(connect(addr)?);
        Ok((server, addr))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn connect(addr: SocketAddr) -> Result<TcpStream> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect(addr) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            // The runtime is starting.
            Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(10)),
            Err(e) => return Err(e).context("the server doesn't answer"),
        }
    }
}

fn message(seed: usize, round: usize) -> Vec<u8> {
    let length = 1 + (seed * 7919 + round * 104_729) % 3000;
    (0..length).map(|index| (index * 31 + seed + round) as u8).collect()
}

/// Messages of all sizes, one after another.
fn talk(addr: SocketAddr, seed: usize) -> Result<usize> {
    let mut stream = connect(addr)?;
    for round in 0..MESSAGES_EACH {
        let message = message(seed, round);
        stream.write_all(&message)?;
        let mut answer = vec![0; message.len()];
        stream.read_exact(&mut answer).with_context(|| format!("message {round}"))?;
        ensure!(answer == message, "message {round} has come back changed");
    }
    Ok(MESSAGES_EACH)
}

/// Sends more than all buffers hold, says that this is all, and gets every byte of it back, then the end.
fn half_close(addr: SocketAddr) -> Result<()> {
    let stream = connect(addr)?;
    let sent: Vec<u8> = (0..8 << 20).map(|index: u32| (index / 3) as u8).collect();
    let mut got = Vec::new();
    thread::scope(|scope| -> Result<()> {
        let writer =
            scope.spawn(|| (&stream).write_all(&sent).and_then(|()| stream.shutdown(Shutdown::Write)));
        (&stream).read_to_end(&mut got)?;
        Ok(writer.join().expect("the writer panicked")?)
    })?;
    ensure!(got == sent, "of {} bytes {} have come back, or others", sent.len(), got.len());
    Ok(())
}

/// Clients that go in the middle of a message, some with answers unread, which is a reset for the server.
fn vanish(addr: SocketAddr) -> Result<()> {
    for round in 0..50 {
        let mut stream = connect(addr)?;
        stream.write_all(&vec![1; 1 + round * 5000])?;
        if round % 3 == 0 {
            stream.read_exact(&mut [0])?;
        }
    }
    Ok(())
}

fn datagrams(addr: SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind((addr.ip(), 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    socket.connect(addr)?;
    for round in 0..500 {
        let message = &message(1000, round)[..];
        let message = &message[..message.len().min(1200)];
        let mut answer = [0; 2000];
        let mut tries = 0;
        let n = loop {
            socket.send(message)?;
            match socket.recv(&mut answer) {
                Ok(n) if answer[..n] == *message => break n,
                // Lost, or the late answer to one that was thought lost.
                _ => tries += 1,
            }
            ensure!(tries < 50, "no answer to datagram {round}");
        };
        ensure!(n == message.len());
    }
    Ok(())
}
