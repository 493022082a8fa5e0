//! An axum service, and reqwest on another host, by HTTP/1.1 and by HTTP/2: requests by name on a connection that is
//! kept, bodies larger than every buffer, and a client that repeats a request until it is answered.
//!
//! Invariant: a sale is counted once, and each body arrives whole.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::routing::{get, post};
use axum::Router;
use futures_util::future::join_all;
use futures_util::{stream, StreamExt};
use reqwest::{Client, Version};
use tokio::net::TcpListener;
use tokio::time::sleep;
use wakeful_world::World;

use super::{block_on, pattern, run, Trouble};

/// More than the buffers of a connection.
const LARGE: usize = 300_000;
const PIECE: usize = 10_000;

/// The limits of a sale, which a partition exceeds, and of a large body.
const SOON: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(10);

type Sales = Arc<Mutex<BTreeMap<u64, u64>>>;

/// Serves the sum of the sales, the bytes of a pattern, and an echo. Each answer to a sale names the client's port.
async fn serve() -> std::io::Result<()> {
    let service = Router::new()
        .route("/sale/{number}/{amount}", post(sell))
        .route("/pattern/{length}", get(|Path(length)| async move { in_pieces(length) }))
        .route("/echo", post(|body: Body| async move { Body::from_stream(body.into_data_stream()) }))
        .with_state(Sales::default());
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    axum::serve(listener, service.into_make_service_with_connect_info::<SocketAddr>()).await
}

async fn sell(
    State(sales): State<Sales>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Path((number, amount)): Path<(u64, u64)>,
) -> String {
    let mut sales = sales.lock().unwrap();
    sales.insert(number, amount);
    format!("{} {}", sales.values().sum::<u64>(), client.port())
}

/// A body that comes in pieces.
fn in_pieces(length: usize) -> Body {
    let pieces: Vec<_> = pattern(length).chunks(PIECE).map(<[u8]>::to_vec).collect();
    Body::from_stream(stream::iter(pieces).map(Ok::<_, std::io::Error>))
}

/// Makes a request until it is answered wholly. Returns the answer.
async fn answer(make: impl Fn() -> reqwest::RequestBuilder, version: Version) -> Vec<u8> {
    loop {
        let whole = async {
            let response = make().send().await?.error_for_status()?;
            assert_eq!(response.version(), version);
            response.bytes().await
        };
        match whole.await {
            Ok(bytes) => return bytes.to_vec(),
            Err(error) if error.is_status() || error.is_builder() => panic!("{error:?}"),
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Sells, reads a large body, sends one, and sells again. Returns the number of connections on which it sold.
async fn shop(client: Client, version: Version) -> usize {
    let mut ports = Vec::new();
    for number in 1..=20 {
        let sale = || client.post(format!("http://server/sale/{number}/{number}")).timeout(SOON);
        let sold = answer(sale, version).await;
        let sold = String::from_utf8(sold).unwrap();
        let (sum, port) = sold.split_once(' ').unwrap();
        assert_eq!(sum, (number * (number + 1) / 2).to_string(), "after sale {number}");
        ports.push(port.to_owned());
        sleep(Duration::from_millis(50)).await;
        if number == 10 {
            let read =
                answer(|| client.get(format!("http://server/pattern/{LARGE}")).timeout(LATE), version).await;
            assert!(read == pattern(LARGE), "{} bytes", read.len());
        }
    }
    let echoes = (1..=4).map(|number| {
        let client = client.clone();
        async move {
            let length = LARGE / number;
            let pieces = || {
                let pieces: Vec<_> = pattern(length).chunks(PIECE).map(<[u8]>::to_vec).collect();
                reqwest::Body::wrap_stream(stream::iter(pieces).map(Ok::<_, std::io::Error>))
            };
            let echo =
                answer(|| client.post("http://server/echo").body(pieces()).timeout(LATE), version).await;
            assert!(echo == pattern(length), "{} of {length} bytes", echo.len());
        }
    });
    join_all(echoes).await;
    ports.sort();
    ports.dedup();
    ports.len()
}

fn one(world: &World, trouble: Trouble, version: Version) {
    world.server_named("server", "10.0.0.1", || block_on(serve()).unwrap());
    world.host_named("client", "10.0.0.2", move || {
        let client = Client::builder().no_proxy();
        let client = if version == Version::HTTP_2 { client.http2_prior_knowledge() } else { client };
        let connections = block_on(shop(client.build().unwrap(), version));
        if trouble == Trouble::None {
            assert_eq!(connections, 1, "the connection is not kept");
        }
    });
}

fn http_1(world: &World, trouble: Trouble) {
    one(world, trouble, Version::HTTP_11);
}

fn http_2(world: &World, trouble: Trouble) {
    one(world, trouble, Version::HTTP_2);
}

#[test]
fn http_1_without_trouble() {
    run(Trouble::None, http_1);
}

#[test]
fn http_1_with_faults() {
    run(Trouble::Faults, http_1);
}

#[test]
fn http_1_across_a_partition() {
    run(Trouble::Partition, http_1);
}

#[test]
fn http_2_without_trouble() {
    run(Trouble::None, http_2);
}

#[test]
fn http_2_with_faults() {
    run(Trouble::Faults, http_2);
}

#[test]
fn http_2_across_a_partition() {
    run(Trouble::Partition, http_2);
}
