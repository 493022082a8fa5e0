//! tokio-postgres against a server of this file, which speaks as much of the protocol as one prepared query needs.
//!
//! Invariant: the answer to a query is the bytes of its parameter, twice.

use std::io;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Config, Error, NoTls};
use wakeful_world::World;

use super::{block_on, pattern, run, Trouble};

const QUERY: &str = "SELECT $1::bytea || $1";
/// The type of bytes.
const BYTEA: u32 = 17;
/// More than the buffers of a connection.
const LARGE: usize = 300_000;

async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:5432").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer(BufReader::new(stream)));
    }
}

/// Answers the messages of one connection, until it ends.
async fn answer(mut stream: BufReader<TcpStream>) -> io::Result<()> {
    // The first message has no kind. Its answer: no password is needed, and the server is ready.
    body(&mut stream).await?;
    let mut answers = [message(b'R', &0_u32.to_be_bytes()), message(b'Z', b"I")].concat();
    let mut parameter = Vec::new();
    loop {
        if !answers.is_empty() {
            stream.write_all(&std::mem::take(&mut answers)).await?;
        }
        let kind = stream.read_u8().await?;
        let body = body(&mut stream).await?;
        answers = match kind {
            // Parse: the statement's name, the query.
            b'P' => {
                assert_eq!(body.split(|&byte| byte == 0).nth(1), Some(QUERY.as_bytes()));
                message(b'1', &[])
            }
            // Describe: a parameter, and a column, which has a name, no table, a type, its size, and a format.
            b'D' => {
                let bytes = BYTEA.to_be_bytes();
                let parameters = [&[0, 1], &bytes[..]].concat();
                let column =
                    [&[0, 1], &b"twice\0"[..], &[0; 6], &bytes, &[255, 255], &[255; 4], &[0, 1]].concat();
                [message(b't', &parameters), message(b'T', &column)].concat()
            }
            // Bind: two names, one format, and one parameter, behind its length.
            b'B' => {
                let names = body.iter().enumerate().filter(|(_, &byte)| byte == 0).nth(1).unwrap().0 + 1;
                assert_eq!(body[names..names + 6], [0, 1, 0, 1, 0, 1]);
                let length = u32::from_be_bytes(body[names + 6..names + 10].try_into().unwrap());
                parameter = body[names + 10..][..length as usize].to_vec();
                message(b'2', &[])
            }
            // Execute: the row has one value.
            b'E' => {
                let twice = parameter.repeat(2);
                let row = [&[0, 1], &(twice.len() as u32).to_be_bytes()[..], &twice].concat();
                [message(b'D', &row), message(b'C', b"SELECT 1\0")].concat()
            }
            // Sync.
            b'S' => message(b'Z', b"I"),
            // Close.
            b'C' => message(b'3', &[]),
            // Terminate.
            b'X' => return Ok(()),
            kind => panic!("a message of kind {:?}", kind as char),
        };
    }
}

/// Reads the length and the body of a message.
async fn body(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut body = vec![0; stream.read_u32().await? as usize - 4];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

/// Connects, until the server lets it. The connection is driven by a task of its own.
async fn connect(errors: &mut usize) -> Client {
    let mut config = Config::new();
    config.host("server").user("wakeful").connect_timeout(Duration::from_secs(1));
    loop {
        // The limit of the configuration ends with the handshake of TCP.
        if let Ok(Ok((client, connection))) = timeout(Duration::from_secs(2), config.connect(NoTls)).await {
            tokio::spawn(connection);
            return client;
        }
        *errors += 1;
        sleep(Duration::from_millis(100)).await;
    }
}

/// Makes queries on one connection: prepared ones, one behind the other, and then several at once.
async fn queries(client: &Client, round: usize) -> Result<(), Error> {
    let statement = client.prepare(QUERY).await?;
    let query = |length| {
        let statement = &statement;
        async move {
            let value = pattern(length);
            let row = client.query_one(statement, &[&value]).await?;
            assert!(row.get::<_, Vec<u8>>("twice") == value.repeat(2), "{length} bytes");
            Ok::<_, Error>(())
        }
    };
    query(round).await?;
    query(if round % 5 == 0 { LARGE } else { 0 }).await?;
    try_join_all((0..10).map(|length| query(1000 * length))).await.map(drop)
}

/// Makes rounds of queries, until each has passed. Returns the number of errors.
async fn work() -> usize {
    let mut errors = 0;
    // The server may not listen yet.
    let mut client = connect(&mut 0).await;
    for round in 0..15 {
        while !matches!(timeout(Duration::from_secs(4), queries(&client, round)).await, Ok(Ok(()))) {
            errors += 1;
            client = connect(&mut errors).await;
        }
        sleep(Duration::from_millis(50)).await;
    }
    errors
}

fn cluster(world: &World, trouble: Trouble) {
    world.server_named("server", "10.0.0.1", || block_on(serve()).unwrap());
    world.host_named("client", "10.0.0.2", move || {
        let errors = block_on(work());
        match trouble {
            Trouble::None | Trouble::Faults => assert_eq!(errors, 0),
            Trouble::Partition => {}
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
