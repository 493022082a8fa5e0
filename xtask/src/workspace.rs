//! Where things are: the repository, its build folder and the cache.

use crate::prelude::*;

/// The repository's root.
pub fn root() -> Result<PathBuf> {
    // Known when xtask was built; a repository that was moved since has rebuilt it.
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = xtask.parent().context("xtask has no parent folder")?;
    Ok(root.to_path_buf())
}

/// The name of an example that there is.
pub fn example(name: &str) -> Result<String> {
    let examples = root()?.join("examples");
    let is_there =
        [format!("{name}.rs"), format!("{name}/main.rs")].iter().any(|file| examples.join(file).is_file());
    match is_there && !name.is_empty() {
        true => Ok(name.to_owned()),
        false => bail!("there is no such example"),
    }
}

/// The names of a package's test programs: a file, or a folder with a `main.rs`.
pub fn test_programs(package: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root()?.join(package).join("tests"))? {
        let path = entry?.path();
        let is_program =
            path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").is_file();
        names.extend(
            path.file_stem().and_then(|name| name.to_str()).filter(|_| is_program).map(str::to_owned),
        );
    }
    names.sort();
    Ok(names)
}

/// A build folder of its own below the workspace's, for a build whose flags would throw out the usual one.
pub fn target(name: &str) -> Result<PathBuf> {
    let target = match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from("target"),
    };
    Ok(root()?.join(target).join(name))
}

/// What may be lost at any time, but makes the next run faster.
pub fn cache(name: &str) -> Result<PathBuf> {
    let caches = match env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => home().context("no home directory: set HOME or XDG_CACHE_HOME")?.join(".cache"),
    };
    Ok(caches.join("wakeful").join(name))
}

fn home() -> Option<PathBuf> {
    let variable = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    env::var_os(variable).filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// Makes the folder, or empties it.
pub fn fresh(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(fs::create_dir_all(folder)?)
}

/// Does this while no other process holds the lock on the file, which is made. It ends with the process, however that
/// ends.
pub fn locked<T>(path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    let file = fs::File::create(path)?;
    let mut lock = fd_lock::RwLock::new(file);
    if lock.try_write().is_err() {
        eprintln!("waiting for another run, which has locked {}", path.display());
    }
    let _guard = lock.write().with_context(|| format!("can't lock {}", path.display()))?;
    work()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_holds_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        let (path, others) = (folder.path().join("lock"), std::sync::atomic::AtomicU32::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let work = || {
                        assert_eq!(others.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        thread::sleep(Duration::from_millis(20));
                        others.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        Ok(())
                    };
                    locked(&path, work).unwrap();
                });
            }
        });
    }
}
