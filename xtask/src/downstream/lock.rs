//! One run at a time for each crate: two would overwrite each other's copies and logs.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// A file that holds its owner's process id, removed when dropped.
pub struct Lock {
    path: PathBuf,
}

impl Lock {
    /// Waits for another run, and takes over from one that was killed.
    pub fn take(path: &Path) -> Result<Lock> {
        let cannot = || format!("can't write {}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(cannot)?;
        }
        let mut told = false;
        loop {
            // `File::lock` would be simpler, but is younger than our minimum Rust.
            match File::options().write(true).create_new(true).open(path) {
                Ok(mut file) => {
                    write!(file, "{}", process::id()).with_context(cannot)?;
                    return Ok(Lock { path: path.to_path_buf() });
                }
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(error).with_context(cannot);
                }
                Err(_) => {}
            }
            let owner = fs::read_to_string(path).unwrap_or_default();
            if !owner.is_empty() && !is_alive(&owner) {
                // An error means that somebody else has been faster.
                let _ = fs::remove_file(path);
            } else {
                if !told {
                    eprintln!("waiting for the run of process {owner}, which has {}", path.display());
                    told = true;
                }
                thread::sleep(Duration::from_millis(200));
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Left behind, it is taken over as soon as this process has ended.
        let _ = fs::remove_file(&self.path);
    }
}

/// Without a shell to ask, nobody is known to be alive.
fn is_alive(process: &str) -> bool {
    let mut shell = Command::new("sh");
    shell.args(["-c", "kill -0 \"$1\"", "sh", process]).stderr(Stdio::null());
    shell.status().is_ok_and(|status| status.success())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_taken_over_from_the_dead_only() {
        let path = std::env::temp_dir().join(format!("xtask-lock-{}", process::id()));
        let mut dead = Command::new("true").spawn().unwrap();
        dead.wait().unwrap();
        fs::write(&path, dead.id().to_string()).unwrap();

        let lock = Lock::take(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), process::id().to_string());
        assert!(is_alive(&process::id().to_string()));
        drop(lock);
        assert!(!path.exists());
    }
}
