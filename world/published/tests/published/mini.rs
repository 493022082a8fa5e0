//! mini-redis: its own server, and its own client on other hosts, which sets and reads, publishes and subscribes.
//!
//! Invariant: a subscriber reads each message once, in the order in which they were published.

use std::time::Duration;

use mini_redis::client::{self, Client};
use mini_redis::server;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use wakeful_world::World;

use super::{block_on, pattern, run, Trouble};

const MESSAGES: usize = 20;
/// More than the buffers of a connection.
const LARGE: usize = 300_000;

async fn serve() {
    let listener = TcpListener::bind("0.0.0.0:6379").await.unwrap();
    server::run(listener, std::future::pending::<()>()).await.unwrap();
}

/// Connects, until the server lets it.
async fn connect() -> Client {
    loop {
        match timeout(Duration::from_secs(1), client::connect("server:6379")).await {
            Ok(Ok(client)) => return client,
            _ => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Waits until the subscriber is there, and publishes. Each message is published once: no answer is given up.
async fn publish() {
    let mut client = connect().await;
    while client.get("subscribed").await.unwrap().is_none() {
        sleep(Duration::from_millis(20)).await;
    }
    for number in 0..MESSAGES {
        let content = pattern(if number % 7 == 0 { LARGE } else { number });
        let subscribers = client.publish("news", content.into()).await.unwrap();
        assert_eq!(subscribers, 1);
        sleep(Duration::from_millis(50)).await;
    }
}

/// Reads what is published, and then values that expire.
async fn subscribe() {
    let mut subscriber = connect().await.subscribe(vec!["news".to_owned()]).await.unwrap();
    let mut client = connect().await;
    client.set("subscribed", "yes".into()).await.unwrap();
    for number in 0..MESSAGES {
        let message = subscriber.next_message().await.unwrap().expect("the connection has ended");
        assert_eq!(message.channel, "news");
        let content = pattern(if number % 7 == 0 { LARGE } else { number });
        assert!(message.content[..] == content, "message {number} has {} bytes", message.content.len());
    }
    let expiry = Duration::from_secs(3600);
    client.set_expires("hour", "over".into(), expiry).await.unwrap();
    sleep(expiry / 2).await;
    assert_eq!(client.get("hour").await.unwrap().as_deref(), Some(&b"over"[..]));
    sleep(expiry / 2).await;
    assert_eq!(client.get("hour").await.unwrap(), None);
    assert_eq!(client.get("subscribed").await.unwrap().as_deref(), Some(&b"yes"[..]));
}

fn cluster(world: &World, _: Trouble) {
    world.server_named("server", "10.0.0.1", || block_on(serve()));
    world.host_named("client", "10.0.0.2", || block_on(subscribe()));
    world.host_named("publisher", "10.0.0.3", || block_on(publish()));
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
