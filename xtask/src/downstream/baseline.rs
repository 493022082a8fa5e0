//! Keeping the results on a real package, which change only with the crate, its dependencies and the compiler.

use super::checkout::lock_file;
use super::crates::{Published, Replaced};
use super::results::Results;
use super::source::write_if_new;
use crate::prelude::*;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// The file with a crate's results on the real package.
pub struct Baseline {
    file: PathBuf,
    key: String,
}

impl Baseline {
    pub fn of(published: &Published, home: &Path) -> Result<Baseline> {
        let mut rustc = Command::new("rustc");
        rustc.arg("-V");
        let lock_file = lock_file(home);
        let lock = fs::read(&lock_file);
        let lock = lock?;
        let mut hasher = DefaultHasher::new();
        lock.hash(&mut hasher);
        let Replaced { name, real } = published.stands_on;
        let key = format!(
            "{} with [{}], {name} {real}, dependencies {:016x}, {} {}",
            published.id(),
            published.features.join(","),
            hasher.finish(),
            capture(&mut rustc)?.trim(),
            env::var("RUSTFLAGS").unwrap_or_default(),
        );
        Ok(Baseline { file: home.join("baseline.json"), key })
    }

    /// What is kept, or nothing if it was measured with anything else, or written by another version of this.
    pub fn load(&self) -> Results {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let kept = serde_json::from_str(&text).ok().filter(|kept: &Kept| kept.key == self.key);
        kept.map_or_else(Results::new, |kept| kept.binaries)
    }

    /// Keeps new results beside those of other executables.
    pub fn store(&self, results: &Results) -> Result<()> {
        let mut binaries = self.load();
        binaries.extend(results.clone());
        let kept = Kept { key: self.key.clone(), binaries };
        write_if_new(&self.file, &serde_json::to_vec_pretty(&kept)?)
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Kept {
    key: String,
    binaries: Results,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::downstream::results::Binary;

    #[test]
    fn results_come_back_for_the_same_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let of = |key: &str| Baseline { file: folder.path().join("results"), key: key.to_owned() };
        assert_eq!(of("key").load(), Results::new());
        let outcomes = [Outcome::Passed, Outcome::Failed, Outcome::Ignored, Outcome::Hung];
        let tests = outcomes.into_iter().map(|outcome| (format!("{outcome:?}"), outcome)).collect();
        let fault = Some("hung".to_owned());
        let tcp = ("tcp".to_owned(), Binary { tests, fault, used_epoll: true, in_worlds: 3 });
        let udp = ("udp".to_owned(), Binary::default());
        of("key").store(&[tcp.clone()].into()).unwrap();
        of("key").store(&[udp.clone()].into()).unwrap();
        assert_eq!(of("key").load(), [tcp, udp].into());
        assert_eq!(of("another key").load(), Results::new());
    }
}
