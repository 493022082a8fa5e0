//! The complete list of tests that a world makes impossible.
//!
//! Each is printed and counted. A listed test that doesn't exist, or that passes, fails the suite.

use wakeful::Backend;

struct Skip {
    file: &'static str,
    reason: &'static str,
    tests: &'static [&'static str],
}

const SKIPS: &[Skip] = &[];

/// Whether the test, `program::file::test` as the harness calls it, is on the list.
pub fn leaves_out(test: &str) -> bool {
    let found = find(test);
    if let Some(found) = found {
        println!("skipped in a world: {}", found.reason);
    }
    found.is_some()
}

fn find(test: &str) -> Option<&'static Skip> {
    let mut parts = test.rsplit("::");
    let (name, file) = (parts.next()?, parts.next()?);
    SKIPS.iter().find(|skip| skip.file == file && skip.tests.contains(&name))
}

/// A world makes sockets.
pub fn makes_sockets(_: Backend) -> bool {
    true
}

/// No test skips by itself here.
#[track_caller]
pub fn skip(backend: Backend, name: &'static str) {
    panic!("{backend} may not skip {name}");
}
