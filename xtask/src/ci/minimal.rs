//! The library and the packages in compat are built and tested with the lowest versions that their manifests allow.

use super::consumer::{quoted, Consumer};
use super::runner::{sums, Runner};
use crate::prelude::*;

/// Whose dependencies those of this machine aren't.
const TARGETS: [&str; 3] = ["x86_64-pc-windows-gnu", "wasm32-wasip1", "wasm32-wasip2"];

/// Waits through each of them.
const MAIN: &str = r#"use std::time::Duration;

fn main() {
    let mut poll = wakeful::Poll::new().unwrap();
    let waker = wakeful::Waker::new(poll.registry(), wakeful::Token(1)).unwrap();
    waker.wake().unwrap();
    let mut events = wakeful::Events::with_capacity(8);
    poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
    assert_eq!(events.iter().count(), 1);

    let mut poll = mio::Poll::new().unwrap();
    let mut socket = mio::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    poll.registry().register(&mut socket, mio::Token(1), mio::Interest::WRITABLE).unwrap();
    let mut events = mio::Events::with_capacity(8);
    poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
    assert_eq!(events.iter().count(), 1);

    let poller = polling::Poller::new().unwrap();
    poller.notify().unwrap();
    assert_eq!(poller.wait(&mut polling::Events::new(), None).unwrap(), 0);
}
"#;

/// Chooses the lowest versions instead of the highest: nightly's alone.
const LOWEST: &str = "-Zminimal-versions";

pub fn check(runner: &mut Runner) -> Result<String> {
    rustup::need_nightly()?;

    // A user's program: our own tests' dependencies would raise the versions.
    let user = Consumer::of_all("minimal", MAIN)?;
    runner.run(user.cargo_of("nightly", &[LOWEST, "generate-lockfile"])?)?;
    let tree = runner.run(user.cargo(&["tree", "--locked", "--target", "all", "--prefix", "none"])?)?;
    runner.run(user.cargo(&["run", "--locked"])?)?;
    for target in TARGETS {
        rustup::need(target)?;
        let packages = ["--package", "mio", "--package", "polling"];
        runner.run(user.cargo(&[&["check", "--locked", "--target", target][..], &packages].concat())?)?;
    }

    // The tests that take no time.
    let folder = workspace::target("minimal")?;
    fs::create_dir_all(&folder)?;
    let lock = format!("resolver.lockfile-path={}", quoted(&folder.join("Cargo.lock")));
    runner.run(cargo_of("nightly", ["--config", &lock, LOWEST, "generate-lockfile"])?)?;
    let mut test = cargo_of("nightly", ["--config", &lock, "test", "--locked", "--all-features"])?;
    test.args(["--package", "wakeful-io", "--package", "mio", "--package", "polling", "--lib"]);
    test.args(["--test", "api", "--test", "net", "--test", "sim", "--target-dir"]).arg(&folder);
    let tests = sums(runner.run(test))?;

    let mut versions: Vec<&str> = tree.lines().filter(|line| !line.contains(['(', '/'])).collect();
    versions.sort_unstable();
    versions.dedup();
    Ok(format!("   {}\n{tests}", versions.join(", ")))
}
