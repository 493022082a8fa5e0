//! The redis crate's `ConnectionManager`, which connects again, against a small server of this file.
//!
//! Invariant: a value that the server has acknowledged is on its disk, and outlives a crash.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands, Client, RedisResult};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use wakeful_world::World;

use super::{block_on, pattern, run, Trouble};

/// More than the buffers of a connection.
const LARGE: usize = 300_000;

type Disk = Arc<Mutex<BTreeMap<Vec<u8>, Vec<u8>>>>;

async fn serve(disk: Disk) -> std::io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:6379").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer(BufReader::new(stream), disk.clone()));
    }
}

/// Answers the commands of one connection, until it ends.
async fn answer(mut stream: BufReader<TcpStream>, disk: Disk) -> std::io::Result<()> {
    loop {
        let command = command(&mut stream).await?;
        let parts: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
        let answer = match parts[..] {
            [b"SET", key, value] => {
                disk.lock().unwrap().insert(key.to_vec(), value.to_vec());
                b"+OK\r\n".to_vec()
            }
            [b"GET", key] => match disk.lock().unwrap().get(key) {
                Some(value) => [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat(),
                None => b"$-1\r\n".to_vec(),
            },
            // The client says its name.
            [b"CLIENT", ..] => b"+OK\r\n".to_vec(),
            _ => b"-ERR unknown command\r\n".to_vec(),
        };
        stream.write_all(&answer).await?;
    }
}

/// Reads a command: the number of its parts, and the length and the bytes of each.
async fn command(stream: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Vec<Vec<u8>>> {
    let mut parts = Vec::new();
    for _ in 0..number(stream, '*').await? {
        let mut part = vec![0; number(stream, '$').await? + 2];
        stream.read_exact(&mut part).await?;
        part.truncate(part.len() - 2);
        parts.push(part);
    }
    Ok(parts)
}

async fn number(stream: &mut (impl AsyncBufRead + Unpin), mark: char) -> std::io::Result<usize> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().strip_prefix(mark).unwrap().parse().unwrap())
}

/// Sets values and reads them, until each is answered. Returns the number of errors.
async fn work() -> usize {
    let client = Client::open("redis://server/").unwrap();
    let mut errors = 0;
    // The server may not listen yet.
    let config = ConnectionManagerConfig::new().set_response_timeout(Some(Duration::from_secs(3)));
    let mut manager =
        until_ok(&mut errors, || ConnectionManager::new_with_config(client.clone(), config.clone())).await;
    for number in 0..20 {
        let value = pattern(if number % 7 == 0 { LARGE } else { 10 * number });
        let (key, shared) = (format!("key {number}"), manager.clone());
        let () = until_ok(&mut errors, || {
            let (mut manager, key, value) = (shared.clone(), key.clone(), value.clone());
            async move { manager.set(key, value).await }
        })
        .await;
        sleep(Duration::from_millis(30)).await;
        let read: Option<Vec<u8>> = until_ok(&mut errors, || {
            let (mut manager, key) = (shared.clone(), key.clone());
            async move { manager.get(key).await }
        })
        .await;
        assert!(read.as_ref() == Some(&value), "{key} is {:?} bytes", read.map(|read| read.len()));
    }
    let missing: Option<Vec<u8>> = until_ok(&mut errors, || {
        let mut manager = manager.clone();
        async move { manager.get("no key").await }
    })
    .await;
    assert_eq!(missing, None);
    let unknown = redis::cmd("FLY").query_async::<()>(&mut manager).await;
    assert!(unknown.is_err());
    errors
}

async fn until_ok<T, F: std::future::Future<Output = RedisResult<T>>>(
    errors: &mut usize,
    operation: impl Fn() -> F,
) -> T {
    loop {
        match operation().await {
            Ok(value) => return value,
            Err(error) => {
                // After one that isn't a timeout the manager connects again.
                assert!(error.is_timeout() || error.is_unrecoverable_error(), "{error:?}");
                *errors += 1;
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn cluster(world: &World, trouble: Trouble) {
    let disk = Disk::default();
    world.server_named("server", "10.0.0.1", move || block_on(serve(disk.clone())).unwrap());
    world.host_named("client", "10.0.0.2", move || {
        let errors = block_on(work());
        match trouble {
            Trouble::None | Trouble::Faults => assert_eq!(errors, 0),
            Trouble::Partition => {}
            // The manager has had a connection that the crash has ended.
            Trouble::Crash => assert_ne!(errors, 0),
        }
    });
}

#[test]
fn without_trouble() {
    run(Trouble::None, cluster);
}

#[test]
fn with_faults() {
    run(Trouble::Faults, cluster);
}

#[test]
fn across_a_partition() {
    run(Trouble::Partition, cluster);
}

#[test]
fn across_a_crash() {
    run(Trouble::Crash, cluster);
}
