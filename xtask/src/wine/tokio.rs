//! tokio's own tests of its Windows sockets and pipes, on compat/mio. All must pass but those that fail on the real mio
//! too, by name.

use super::{Prefix, TARGET};
use crate::downstream::checkout::{Checkout, Subject};
use crate::downstream::{crates, source};
use crate::prelude::*;

const FILES: &[&str] = &[
    "net_named_pipe",
    "net_panic",
    "tcp_accept",
    "tcp_connect",
    "tcp_echo",
    "tcp_into_split",
    "tcp_into_std",
    "tcp_peek",
    "tcp_shutdown",
    "tcp_socket",
    "tcp_split",
    "tcp_stream",
    "udp",
];

/// File, test, reason.
const FAIL: &[(&str, &str, &str)] = &[(
    "udp",
    "send_to_recv_closed_returns_err",
    "Wine's socket keeps the error of a refused datagram for `take_error`, where Windows answers the receiver; \
     the real mio fails likewise",
)];

pub(super) fn run(prefix: &Prefix) -> Result<bool> {
    let published = crates::ALL.iter().find(|published| published.name == "tokio");
    let published = published.context("tokio isn't in the table")?;
    let home = workspace::cache("downstream")?.join(published.id());
    workspace::locked(&home.join("lock"), || run_in(&home, published, prefix))
}

fn run_in(home: &Path, published: &'static crates::Published, prefix: &Prefix) -> Result<bool> {
    let source = source::locate(published, &home.join("scratch"))?;
    // The copy with the real mio makes the lock file that both share.
    Checkout::make(published, Subject::Real, &source, home, false)?;
    let checkout = Checkout::make(published, Subject::Wakeful, &source, home, false)?;
    let (mut passed, mut count, mut is_well) = (0, 0, true);
    for file in FILES {
        let output = Output::parse(&run_file(prefix, &checkout, file)?);
        if output.tests.is_empty() {
            bail!("{file} has no tests");
        }
        count += output.tests.len();
        passed += output.passed();
        let excuses =
            FAIL.iter().filter(|(of, ..)| of == file).map(|(_, test, why)| (test.to_string(), *why));
        let verdict = Verdict::of(&output.tests, excuses, true);
        verdict.to_string().lines().for_each(|line| println!("{file}: {line}"));
        is_well &= verdict.is_well();
    }
    println!("== {}: {passed} of {count} tests in {} files passed", published.id(), FILES.len());
    Ok(is_well)
}

/// What the tests of one file print.
fn run_file(prefix: &Prefix, checkout: &Checkout, file: &str) -> Result<String> {
    let mut test: Command =
        checkout.cargo(&["test", "--target", TARGET, "--no-fail-fast", "--test", file])?;
    test.args(checkout.features()).arg("--target-dir").arg(&checkout.target);
    test.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
    test.env("CARGO_ENCODED_RUSTFLAGS", "--cap-lints=warn");
    prefix.configure(&mut test);
    let log = checkout.logs.join("wine").join(file);
    let errors = log.with_extension("stderr");
    let ended = Job::new(test, &log).errors_to(&errors).limit(Duration::from_secs(15 * 60)).run()?;
    if ended.hung() {
        bail!("{file}: {ended}; see {}", log.display());
    }
    let output = ended.output()?;
    if !output.contains("test result: ") {
        bail!("{file}: {ended}; see {}", errors.display());
    }
    Ok(output)
}
