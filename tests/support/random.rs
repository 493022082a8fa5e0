//! Random numbers for tests. A test that uses them prints its seed, or has a fixed one.

/// A generator for a test that says its seed: `WAKEFUL_SEED` repeats one.
pub fn seeded() -> fastrand::Rng {
    let seed = match std::env::var("WAKEFUL_SEED") {
        Ok(seed) => seed.parse().expect("WAKEFUL_SEED is a number"),
        Err(_) => fastrand::u64(..),
    };
    // The test harness shows it when the test fails.
    println!("WAKEFUL_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}
