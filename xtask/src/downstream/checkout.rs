//! A copy of a published crate in which mio is exactly the one to test.

use super::crates::Published;
use super::source::{mirror, write_if_new};
use crate::prelude::*;
use serde_json::Value;
use toml_edit::DocumentMut;

/// The mio that results are compared with.
pub const REAL_MIO: &str = "1.2.5";

/// Which mio a copy uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The real one, from the registry.
    Mio,
    /// This repository, through compat/mio.
    Wakeful,
}

/// A copy that is ready to be built.
pub struct Checkout {
    pub published: &'static Published,
    pub subject: Subject,
    pub folder: PathBuf,
    /// Shared by all copies of all crates, so that what doesn't depend on mio is built once.
    pub target: PathBuf,
    pub logs: PathBuf,
}

impl Checkout {
    /// `home` is the crate's folder in the cache, `source` where cargo has unpacked it. With `keep`, a copy that is
    /// there stays as it is.
    pub fn make(
        published: &'static Published,
        subject: Subject,
        source: &Path,
        home: &Path,
        keep: bool,
    ) -> Result<Checkout> {
        let checkout = Checkout {
            published,
            subject,
            folder: home.join(subject.name()),
            target: workspace::cache("downstream")?.join("target"),
            logs: home.join("logs"),
        };
        if !keep || !checkout.folder.join("Cargo.toml").exists() {
            mirror(source, &checkout.folder)?;
            checkout.write_manifest(source)?;
        }
        checkout.lock(&lock_file(home))?;
        checkout.check_mio()?;
        Ok(checkout)
    }

    /// Cargo, in the copy.
    pub fn cargo(&self, args: &[&str]) -> Result<Command> {
        let mut command = cargo(args)?;
        command.current_dir(&self.folder);
        Ok(command)
    }

    fn write_manifest(&self, source: &Path) -> Result<()> {
        let shim = shim()?;
        // Where its development dependencies use the crate itself, that must be the copy that is tested.
        let mut patches = vec![(self.published.name, Path::new("."))];
        if self.subject == Subject::Wakeful {
            patches.push(("mio", &shim));
        }
        let mut manifest = patched(&read_lossy(&source.join("Cargo.toml"))?, &patches)?;
        if self.subject == Subject::Wakeful {
            manifest = with_features(&manifest, &workspace::root()?)?;
        }
        write_if_new(&self.folder.join("Cargo.toml"), manifest.as_bytes())
    }

    /// Both copies start from one lock file: the only thing that may differ between them is mio.
    fn lock(&self, shared: &Path) -> Result<()> {
        let own = self.folder.join("Cargo.lock");
        let mut lock = fs::read_to_string(shared).unwrap_or_default();
        if !has_real_mio(&lock) {
            if self.subject != Subject::Mio {
                bail!("{} is missing: the copy with the real mio makes it", shared.display());
            }
            if own.exists() {
                fs::remove_file(&own)?;
            }
            capture(&mut self.cargo(&["generate-lockfile"])?)?;
            capture(&mut self.cargo(&["update", "--package", "mio@1", "--precise", REAL_MIO])?)?;
            lock = read_lossy(&own)?;
            write_if_new(shared, lock.as_bytes())?;
        }
        write_if_new(&own, lock.as_bytes())?;
        let shim = shim_version()?;
        if self.subject == Subject::Wakeful && shim != REAL_MIO {
            // The patch has another version than the lock file, and cargo would leave it unused.
            capture(&mut self.cargo(&[
                "update",
                "--package",
                &format!("mio@{REAL_MIO}"),
                "--precise",
                &shim,
            ])?)?;
        }
        Ok(())
    }

    fn check_mio(&self) -> Result<()> {
        let mut metadata = self.cargo(&["metadata", "--filter-platform", &host()?])?;
        metadata.args(self.features());
        let packages = packages_of(metadata)?;
        // Other lines of mio are other crates to cargo, which signal-hook-mio also tests itself with.
        let is_mio_1 = |package: &&Value| {
            package["name"] == "mio"
                && package["version"].as_str().is_some_and(|version| version.starts_with("1."))
        };
        let found: Vec<&Value> = packages.iter().filter(is_mio_1).collect();
        let shown = || {
            let ids = found.iter().map(|package| package["id"].to_string());
            ids.collect::<Vec<_>>().join(", ")
        };
        let [mio] = found[..] else {
            bail!("{} would use not one mio but [{}]", self.published.name, shown());
        };
        let shim = shim()?.join("Cargo.toml");
        let right = match self.subject {
            Subject::Mio => mio["version"] == REAL_MIO && mio["source"].is_string(),
            Subject::Wakeful => mio["manifest_path"].as_str().map(Path::new) == Some(&*shim),
        };
        if !right {
            bail!("{} would use the wrong mio: {}", self.published.name, shown());
        }
        Ok(())
    }

    /// Cargo's arguments for the features to test with.
    pub fn features(&self) -> Vec<String> {
        match self.published.features {
            [] => Vec::new(),
            features => vec!["--features".to_owned(), features.join(",")],
        }
    }
}

impl Subject {
    pub fn name(self) -> &'static str {
        match self {
            Subject::Mio => "mio",
            Subject::Wakeful => "wakeful",
        }
    }
}

/// Makes the manifest a workspace's root, and takes each named crate from a folder instead of the registry.
fn patched(manifest: &str, patches: &[(&str, &Path)]) -> Result<String> {
    let mut manifest: DocumentMut = manifest.parse()?;
    // Without it cargo would look for a workspace in the folders above.
    manifest.entry("workspace").or_insert_with(toml_edit::table);
    for (name, folder) in patches {
        manifest["patch"]["crates-io"][name]["path"] = toml_edit::value(folder.display().to_string());
    }
    Ok(manifest.to_string())
}

/// Turns on the features by which a test is run on each backend, and with chaos: the one line that the guide shows.
fn with_features(manifest: &str, wakeful: &Path) -> Result<String> {
    let mut manifest: DocumentMut = manifest.parse()?;
    let dependencies = manifest.entry("dev-dependencies").or_insert_with(toml_edit::table);
    let wakeful = wakeful.display();
    let line =
        format!("{{ package = \"wakeful-io\", path = '{wakeful}', features = [\"backends\", \"chaos\"] }}");
    dependencies["wakeful"] = toml_edit::value(line.parse::<toml_edit::Value>()?);
    Ok(manifest.to_string())
}

/// The lock file that a crate's copies share.
pub fn lock_file(home: &Path) -> PathBuf {
    home.join("Cargo.lock")
}

/// False for what was made for an earlier [`REAL_MIO`], too.
fn has_real_mio(lock: &str) -> bool {
    lock.contains(&format!("name = \"mio\"\nversion = \"{REAL_MIO}\"\n"))
}

/// The folder of wakeful under mio's name.
fn shim() -> Result<PathBuf> {
    Ok(workspace::root()?.join("compat/mio"))
}

fn shim_version() -> Result<String> {
    let id = capture(cargo(["pkgid"])?.current_dir(shim()?))?;
    // `path+file:///a/mio#1.2.3`, or with the name before the version where the folder has another.
    let version = id.trim().rsplit(['#', '@']).next();
    Ok(version.unwrap_or_default().to_owned())
}

fn host() -> Result<String> {
    let version = capture(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc doesn't tell its host")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_becomes_a_workspaces_and_its_patches_join_what_is_there() {
        let shim = Path::new(r#"C:\a "b""#);
        for rest in
            ["", "[workspace.lints.rust]\nwarnings = \"warn\"\n", "[patch.crates-io]\nb = { path = \"b\" }\n"]
        {
            let manifest = format!("[package]\nname = \"a\"\n\n{rest}");
            let patched: DocumentMut =
                patched(&manifest, &[("mio", shim), ("a", Path::new("."))]).unwrap().parse().unwrap();
            assert!(patched["workspace"].is_table(), "{patched}");
            assert_eq!(patched["workspace"].get("lints").is_some(), rest.contains("lints"));
            let patches = &patched["patch"]["crates-io"];
            assert_eq!(patches["mio"]["path"].as_str(), shim.to_str(), "{patched}");
            assert_eq!(patches["a"]["path"].as_str(), Some("."));
            assert_eq!(patches.get("b").is_some(), rest.contains("b ="));
        }
    }
}
