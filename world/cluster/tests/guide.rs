//! The programs and tests of the guide's chapter, `world/src/guide.md`: `tests/facts.rs` compares them.
//!
//! Invariant: each part between two markers is a code block of the chapter.

// part: interpose
wakeful_world::interpose!();
// end

mod first {
    // part: first
    use std::time::{Duration, Instant};
    use wakeful_world::World;

    #[test]
    fn an_hour_takes_a_millisecond() {
        World::seeds(0..100).run(|world| {
            world.host("10.0.0.1", || {
                let start = Instant::now();
                std::thread::sleep(Duration::from_secs(3600));
                assert_eq!(start.elapsed(), Duration::from_secs(3600));
            });
        });
    }
    // end
}

// part: program
use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// Adds up the amounts that clients deposit. Each request has a number; a request is counted once.
async fn bank(counts_once: bool) -> std::io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    let (mut total, mut seen) = (0, BTreeSet::new());
    loop {
        let (mut stream, _) = listener.accept().await?;
        // A request that doesn't come in time is not waited for.
        let _ = timeout(Duration::from_secs(1), async {
            let (number, amount) = (stream.read_u64().await?, stream.read_u64().await?);
            if seen.insert(number) || !counts_once {
                total += amount;
            }
            stream.write_u64(total).await
        })
        .await;
    }
}

/// Makes a deposit, again and again until the bank has answered. Returns the bank's total.
async fn deposit(number: u64, amount: u64) -> u64 {
    let request = || async move {
        let mut stream = TcpStream::connect("bank:80").await?;
        stream.write_u64(number).await?;
        stream.write_u64(amount).await?;
        stream.read_u64().await
    };
    loop {
        match timeout(Duration::from_secs(2), request()).await {
            Ok(Ok(total)) => return total,
            _ => sleep(Duration::from_millis(100)).await,
        }
    }
}
// end

// part: set-up
use wakeful_world::World;

fn block_on<F: Future>(program: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(program)
}

fn deposits(world: &World, counts_once: bool) {
    world.server_named("bank", "10.0.0.1", move || block_on(bank(counts_once)).unwrap());
    world.host_named("customer", "10.0.0.2", || {
        block_on(async {
            for number in 1..=20 {
                assert_eq!(deposit(number, 5).await, number * 5, "after deposit {number}");
                sleep(Duration::from_millis(50)).await;
            }
        });
    });
    world.end_when_done(Duration::from_secs(600));
}
// end

// part: without-trouble
#[test]
fn deposits_add_up() {
    World::seeds(0..100).run(|world| deposits(world, false));
}
// end

// part: partition
/// Cuts the link between the two, at a time and for as long as the seed chooses.
fn with_a_partition(world: &World, counts_once: bool) {
    deposits(world, counts_once);
    let cut = Duration::from_millis(world.choose(2_000) as u64);
    let length = Duration::from_millis(world.choose(5_000) as u64);
    world.at(cut, |world| world.partition(&["bank"], &["customer"]));
    world.at(cut + length, |world| world.heal());
}
// end

// part: fixed
#[test]
fn deposits_add_up_across_a_partition() {
    World::seeds(0..200).run(|world| with_a_partition(world, true));
}
// end

#[test]
fn the_chapter_s_bug_is_found() {
    let report = World::seeds(0..1000).search(|world| with_a_partition(world, false));
    let failure = report.failure.expect("a seed that fails");
    println!("{failure}");
    assert!(failure.reason.contains("after deposit"), "{}", failure.reason);
}
