//! The work that each simulator does: an echo on one host, a gossip of five hosts, and a Raft of five nodes.
//!
//! Every runner compiles this file and `world/cluster`'s Raft as they are, each with its own `crate::net`. Each host's
//! program returns how often it has done its work, to see that all runners have done the same.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout, Instant};

use crate::net::{TcpListener, TcpStream};
use crate::raft::{Client, History};

/// The hosts of the gossip, and the nodes of the Raft.
pub const HOSTS: u64 = 5;
/// How long the gossip and the Raft go on, in the world's time.
pub const SPAN: Duration = Duration::from_secs(60);
/// When the Raft's nodes 0 and 1 are cut off from the others, and when they are back.
pub const PARTITION: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(30));
/// The nodes on the smaller side.
pub const CUT_OFF: [u64; 2] = [0, 1];
/// The latency of each message, from the least to the most.
pub const LATENCY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(10));

/// The number of clients of the echo, and of the messages that each one sends.
const CLIENTS: u64 = 20;
const MESSAGES: u64 = 3;

/// Writes bytes. madsim's stream keeps them until it is flushed; the others' do nothing then.
async fn send(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// A server and its clients on one host. Returns the number of echoes.
pub async fn echo(at: SocketAddr) -> io::Result<u64> {
    let listener = TcpListener::bind(at).await?;
    tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            tokio::spawn(async move {
                let mut buffer = [0; 128];
                loop {
                    match stream.read(&mut buffer).await? {
                        0 => return io::Result::Ok(()),
                        length => send(&mut stream, &buffer[..length]).await?,
                    }
                }
            });
        }
    });
    let clients: Vec<_> = (0..CLIENTS).map(|client| tokio::spawn(echoes(at, client))).collect();
    let mut echoes = 0;
    for client in clients {
        echoes += client.await.expect("a client")?;
    }
    Ok(echoes)
}

async fn echoes(at: SocketAddr, client: u64) -> io::Result<u64> {
    sleep(Duration::from_secs(client % 5)).await;
    let mut stream = TcpStream::connect(at).await?;
    let message = vec![client as u8; 50 + client as usize];
    for _ in 0..MESSAGES {
        send(&mut stream, &message).await?;
        let mut echo = vec![0; message.len()];
        stream.read_exact(&mut echo).await?;
        assert_eq!(echo, message);
    }
    Ok(MESSAGES)
}

/// One of the gossip's hosts: for [`SPAN`] it sends its counter to another host every 100 to 250 ms, each time on a
/// new connection, and takes the higher one. Returns the number of exchanges.
pub async fn gossip(me: u64, hosts: Vec<SocketAddr>, seed: u64) -> io::Result<u64> {
    let counter = Arc::new(Mutex::new(me));
    let listener = TcpListener::bind(hosts[me as usize]).await?;
    let own = counter.clone();
    tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let own = own.clone();
            tokio::spawn(timeout(Duration::from_secs(1), async move {
                let theirs = stream.read_u64().await?;
                let counter = {
                    let mut own = own.lock().unwrap();
                    *own = theirs.max(*own) + 1;
                    *own
                };
                send(&mut stream, &counter.to_be_bytes()).await
            }));
        }
    });
    let (mut exchanges, mut dice) = (0, seed.wrapping_add(me));
    let end = Instant::now() + SPAN;
    while Instant::now() < end {
        sleep(Duration::from_millis(100 + 37 * me)).await;
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let peer = (me + 1 + (dice >> 33) % (HOSTS - 1)) % HOSTS;
        let mine = *counter.lock().unwrap();
        let exchange = async {
            let mut stream = TcpStream::connect(hosts[peer as usize]).await?;
            send(&mut stream, &mine.to_be_bytes()).await?;
            stream.read_u64().await
        };
        if let Ok(Ok(theirs)) = timeout(Duration::from_secs(1), exchange).await {
            let mut own = counter.lock().unwrap();
            *own = theirs.max(*own);
            exchanges += 1;
        }
    }
    Ok(exchanges)
}

/// The Raft's client: for [`SPAN`] it appends a value every 100 ms. Returns the number of values, all committed.
pub async fn appends(nodes: Vec<SocketAddr>, history: Arc<Mutex<History>>) -> u64 {
    let mut client = Client::new(nodes);
    let end = Instant::now() + SPAN;
    let mut values = 0;
    while Instant::now() < end {
        client.append(values).await;
        {
            let mut history = history.lock().unwrap();
            history.acknowledged(values);
            history.check().unwrap();
        }
        values += 1;
        sleep(Duration::from_millis(100)).await;
    }
    values
}
