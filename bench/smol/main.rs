//! An echo on smol: the server on this thread, its clients in a process of their own. Each line of standard input says
//! how many times to do [`ROUNDS`] rounds; the answer is how many nanoseconds of processor time the server took.

use std::io::{BufRead, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::Async;

/// So many that beginning and ending don't count.
const ROUNDS: u32 = 100;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["clients", addr, connections, size] => clients(addr, connections.parse()?, size.parse()?),
        [connections, size] => server(connections.parse()?, size.parse()?),
        _ => Err("wants a number of connections and the size of a message".into()),
    }
}

/// All tasks are on one thread, which polls as well.
fn server(connections: usize, size: usize) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut clients = Command::new(std::env::current_exe()?)
        .args(["clients".into(), listener.local_addr()?.to_string()])
        .args([connections.to_string(), size.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut orders = clients.stdin.take().ok_or("no standard input")?;
    let mut done = Async::new(clients.stdout.take().ok_or("no standard output")?)?;

    let executor = smol::LocalExecutor::new();
    for _ in 0..connections {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        executor.spawn(serve(Async::new(stream)?)).detach();
    }
    for line in std::io::stdin().lock().lines() {
        let before = cpu_time();
        writeln!(orders, "{}", line?.trim())?;
        smol::block_on(executor.run(done.read_exact(&mut [0])))?;
        println!("{}", cpu_time() - before);
        std::io::stdout().flush()?;
    }
    Ok(())
}

async fn serve(mut stream: Async<TcpStream>) -> std::io::Result<()> {
    let mut buf = vec![0; 16 * 1024];
    loop {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..n]).await?;
    }
}

/// Sends on every connection, then reads from every one; a byte says that the rounds are done.
fn clients(addr: &str, connections: usize, size: usize) -> Result<()> {
    let mut streams = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let mut message = vec![7; size];
    for line in std::io::stdin().lock().lines() {
        let times: u32 = line?.trim().parse()?;
        for _ in 0..times * ROUNDS {
            streams.iter_mut().try_for_each(|stream| stream.write_all(&message))?;
            streams.iter_mut().try_for_each(|stream| stream.read_exact(&mut message))?;
        }
        std::io::stdout().write_all(&[1])?;
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// What this process, with all its threads, has used of the processors, in nanoseconds.
fn cpu_time() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
