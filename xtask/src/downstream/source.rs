//! Getting a published crate's source, without knowing where a registry is: cargo does.

use super::crates::Published;
use crate::prelude::*;
use std::ffi::OsString;

/// Where cargo has unpacked the crate. `scratch` is a folder for a package that asks for it.
pub fn locate(published: &Published, scratch: &Path) -> Result<PathBuf> {
    let Published { name, version, .. } = published;
    let manifest = format!(
        "[package]\nname = \"scratch\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n\
         [dependencies]\n{name} = \"={version}\"\n\n[workspace]\n"
    );
    write_if_new(&scratch.join("Cargo.toml"), manifest.as_bytes())?;
    write_if_new(&scratch.join("src/lib.rs"), b"")?;

    let mut metadata = cargo(["metadata"])?;
    metadata.current_dir(scratch);
    let packages = packages_of(metadata).with_context(|| format!("can't get {name} {version}"))?;
    let package = packages.iter().find(|one| one["name"] == *name && one["version"] == *version);
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let manifest = Path::new(manifest.with_context(|| format!("cargo has no {name} {version}"))?);
    Ok(manifest.parent().context("a manifest without a folder")?.to_path_buf())
}

/// Makes `to` a writable copy of the package `from`, but for the manifest, which is the caller's, and the lock file.
///
/// A file that is the same already keeps its time stamp: cargo need not build it again.
pub fn mirror(from: &Path, to: &Path) -> Result<()> {
    copy_folder(from, to, &["Cargo.toml", "Cargo.lock", "target"])
}

/// Leaves a file that has this content already, and its time stamp, alone.
pub fn write_if_new(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(fs::write(path, content)?)
}

/// What is in a folder.
pub fn names(folder: &Path) -> Result<BTreeSet<OsString>> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name()));
    names.collect()
}

fn copy_folder(from: &Path, to: &Path, leave: &[&str]) -> Result<()> {
    fs::create_dir_all(to)?;
    let wanted = names(from)?;
    for name in names(to)?.difference(&wanted) {
        if !leave.iter().any(|left| name == left) {
            let gone = to.join(name);
            if gone.is_dir() { fs::remove_dir_all(gone) } else { fs::remove_file(gone) }?;
        }
    }
    for name in &wanted {
        let (from, to) = (from.join(name), to.join(name));
        if leave.iter().any(|left| name == left) {
            continue;
        }
        if from.is_dir() {
            copy_folder(&from, &to, &[])?;
        } else {
            // Read and written, not `fs::copy`, which would make a read-only copy of a read-only file.
            let content = fs::read(&from);
            write_if_new(&to, &content?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_the_same_but_for_manifest_and_lock() {
        let scratch = tempfile::tempdir().unwrap();
        let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
        write_if_new(&from.join("Cargo.toml"), b"theirs").unwrap();
        write_if_new(&from.join("src/lib.rs"), b"new").unwrap();
        write_if_new(&to.join("Cargo.toml"), b"ours").unwrap();
        write_if_new(&to.join("Cargo.lock"), b"ours").unwrap();
        write_if_new(&to.join("src/lib.rs"), b"old").unwrap();
        write_if_new(&to.join("src/gone/mod.rs"), b"old").unwrap();

        mirror(&from, &to).unwrap();
        assert_eq!(fs::read(to.join("Cargo.toml")).unwrap(), b"ours");
        assert_eq!(fs::read(to.join("Cargo.lock")).unwrap(), b"ours");
        assert_eq!(fs::read(to.join("src/lib.rs")).unwrap(), b"new");
        assert!(!to.join("src/gone").exists());
    }
}
