//! An echo on tokio, server and clients on one thread. Each line of standard input says how many rounds to do; the
//! answer is how many nanoseconds they took.

use std::io::{BufRead, Write};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse());
    let (Some(connections), Some(size)) = (args.next().transpose()?, args.next().transpose()?) else {
        return Err("wants a number of connections and the size of a message".into());
    };
    // With one thread glibc takes short cuts that no real program gets.
    std::thread::spawn(|| loop {
        std::thread::park();
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let mut clients = runtime.block_on(connect(connections))?;
    for line in std::io::stdin().lock().lines() {
        let rounds: u32 = line?.trim().parse()?;
        let start = Instant::now();
        clients = runtime.block_on(async {
            let tasks: Vec<_> =
                clients.into_iter().map(|client| tokio::spawn(talk(client, size, rounds))).collect();
            let mut clients = Vec::new();
            for task in tasks {
                clients.push(task.await??);
            }
            Result::Ok(clients)
        })?;
        println!("{}", start.elapsed().as_nanos());
        std::io::stdout().flush()?;
    }
    Ok(())
}

async fn connect(connections: usize) -> Result<Vec<TcpStream>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let mut clients = Vec::new();
    for _ in 0..connections {
        let client = TcpStream::connect(addr).await?;
        client.set_nodelay(true)?;
        let (server, _) = listener.accept().await?;
        server.set_nodelay(true)?;
        clients.push(client);
        tokio::spawn(serve(server));
    }
    Ok(clients)
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buf = vec![0; 16 * 1024];
    loop {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..n]).await?;
    }
}

async fn talk(mut stream: TcpStream, size: usize, rounds: u32) -> std::io::Result<TcpStream> {
    let mut message = vec![7; size];
    for _ in 0..rounds {
        stream.write_all(&message).await?;
        stream.read_exact(&mut message).await?;
    }
    Ok(stream)
}
