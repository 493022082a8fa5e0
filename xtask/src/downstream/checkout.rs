//! A copy of a published crate in which the package that it stands on is exactly the one to test.

use super::crates::{Published, Replaced};
use super::source::{mirror, write_if_new};
use crate::prelude::*;
use serde_json::Value;
use toml_edit::DocumentMut;

/// What a copy stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The real package, from the registry.
    Real,
    /// This repository, through the package in compat.
    Wakeful,
    /// The same, with a world for each thread that polls.
    World,
}

/// A copy that is ready to be built.
pub struct Checkout {
    pub published: &'static Published,
    pub subject: Subject,
    pub folder: PathBuf,
    /// Shared by all copies of all crates, so that what doesn't depend on the subject is built once.
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
            folder: home.join(subject_name(published, subject)),
            target: workspace::cache("downstream")?.join("target"),
            logs: home.join("logs"),
        };
        if !keep || !checkout.folder.join("Cargo.toml").exists() {
            mirror(source, &checkout.folder)?;
            checkout.write_manifest(source)?;
        }
        checkout.lock(&lock_file(home))?;
        checkout.check_subject()?;
        Ok(checkout)
    }

    /// Cargo, in the copy.
    pub fn cargo(&self, args: &[&str]) -> Result<Command> {
        let mut command = cargo(args)?;
        command.current_dir(&self.folder);
        Ok(command)
    }

    /// Cargo with the features and flags that all builds of the copy have.
    pub fn cargo_for_tests(&self, args: &[&str]) -> Result<Command> {
        let mut command = self.cargo(args)?;
        command.args(self.features()).arg("--target-dir").arg(&self.target);
        // Debug information and incremental state take gigabytes for tokio, and are never read.
        command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
        // As cargo does for a dependency: a new compiler's warning in an old crate isn't what is tested.
        rustflags(&mut command, "--cap-lints=warn");
        Ok(command)
    }

    /// Tells a test executable what `cargo test` would tell it.
    pub fn as_cargo_test(&self, command: &mut Command) {
        command.current_dir(&self.folder);
        command.env("CARGO_MANIFEST_DIR", &self.folder);
        command.env("CARGO_PKG_NAME", self.published.name);
        command.env("CARGO_PKG_VERSION", self.published.version);
    }

    /// A name for what the copy stands on: its folder's.
    pub fn subject(&self) -> &'static str {
        subject_name(self.published, self.subject)
    }

    fn write_manifest(&self, source: &Path) -> Result<()> {
        let shim = self.shim()?;
        // Where its development dependencies use the crate itself, that must be the copy that is tested.
        let mut patches = vec![(self.published.name, Path::new("."))];
        if self.subject != Subject::Real {
            patches.push((self.published.stands_on.name, &shim));
        }
        let mut manifest = patched(&read_lossy(&source.join("Cargo.toml"))?, &patches)?;
        manifest = match self.subject {
            Subject::Real => manifest,
            Subject::Wakeful => with_features(&manifest, &workspace::root()?)?,
            Subject::World => with_world(&manifest, &self.published.stands_on)?,
        };
        write_if_new(&self.folder.join("Cargo.toml"), manifest.as_bytes())
    }

    /// Both copies start from one lock file: the only thing that may differ between them is the subject.
    fn lock(&self, shared: &Path) -> Result<()> {
        let Replaced { name, real } = self.published.stands_on;
        let own = self.folder.join("Cargo.lock");
        let mut lock = fs::read_to_string(shared).unwrap_or_default();
        if !has_real(&lock, &self.published.stands_on) {
            if self.subject != Subject::Real {
                bail!("{} is missing: the copy with the real {name} makes it", shared.display());
            }
            if own.exists() {
                fs::remove_file(&own)?;
            }
            capture(&mut self.cargo(&["generate-lockfile"])?)?;
            let package = format!("{name}@{}", major(real));
            capture(&mut self.cargo(&["update", "--package", &package, "--precise", real])?)?;
            lock = read_lossy(&own)?;
            write_if_new(shared, lock.as_bytes())?;
        }
        write_if_new(&own, lock.as_bytes())?;
        if self.subject != Subject::Real {
            // The patch has another version than the lock file, and cargo would leave it unused.
            let package = format!("{name}@{real}");
            let shim = self.shim_version()?;
            capture(&mut self.cargo(&["update", "--package", &package, "--precise", &shim])?)?;
        }
        Ok(())
    }

    fn check_subject(&self) -> Result<()> {
        let mut metadata = self.cargo(&["metadata", "--filter-platform", &host()?])?;
        metadata.args(self.features());
        let packages = packages_of(metadata)?;
        let Replaced { name, real } = self.published.stands_on;
        // Another major version is another crate to cargo: signal-hook-mio also tests itself with an older mio.
        let is_ours = |package: &&Value| {
            package["name"] == name
                && package["version"].as_str().is_some_and(|version| major(version) == major(real))
        };
        let found: Vec<&Value> = packages.iter().filter(is_ours).collect();
        let shown = || {
            let ids = found.iter().map(|package| package["id"].to_string());
            ids.collect::<Vec<_>>().join(", ")
        };
        let [found] = found[..] else {
            bail!("{} would use not one {name} but [{}]", self.published.name, shown());
        };
        let shim = self.shim()?.join("Cargo.toml");
        let right = match self.subject {
            Subject::Real => found["version"] == real && found["source"].is_string(),
            Subject::Wakeful | Subject::World => {
                found["manifest_path"].as_str().map(Path::new) == Some(&*shim)
            }
        };
        if !right {
            bail!("{} would use the wrong {name}: {}", self.published.name, shown());
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

    /// The folder of wakeful under the replaced package's name.
    fn shim(&self) -> Result<PathBuf> {
        Ok(workspace::root()?.join("compat").join(self.published.stands_on.name))
    }

    fn shim_version(&self) -> Result<String> {
        let id = capture(cargo(["pkgid"])?.current_dir(self.shim()?))?;
        // `path+file:///a/mio#1.2.3`, or with the name before the version where the folder has another.
        let version = id.trim().rsplit(['#', '@']).next();
        Ok(version.unwrap_or_default().to_owned())
    }
}

fn subject_name(published: &Published, subject: Subject) -> &'static str {
    match subject {
        Subject::Real => published.stands_on.name,
        Subject::Wakeful => "wakeful",
        Subject::World => "world",
    }
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or_default()
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

/// Turns on the features by which a test is run on each backend, and with chaos.
fn with_features(manifest: &str, wakeful: &Path) -> Result<String> {
    let mut manifest: DocumentMut = manifest.parse()?;
    let dependencies = manifest.entry("dev-dependencies").or_insert_with(toml_edit::table);
    let wakeful = wakeful.display();
    // What the package in compat leaves out of the library stays left out.
    let line = format!(
        "{{ package = \"wakeful-io\", path = '{wakeful}', default-features = false, \
         features = [\"backends\", \"chaos\"] }}"
    );
    dependencies["wakeful"] = toml_edit::value(line.parse::<toml_edit::Value>()?);
    Ok(manifest.to_string())
}

/// Turns on the feature by which a test is run in a world.
fn with_world(manifest: &str, Replaced { name, real }: &Replaced) -> Result<String> {
    let mut manifest: DocumentMut = manifest.parse()?;
    let dependencies = manifest.entry("dev-dependencies").or_insert_with(toml_edit::table);
    let line = format!("{{ version = '{}', default-features = false, features = ['world'] }}", major(real));
    let feature = match dependencies.get_mut(name).and_then(toml_edit::Item::as_table_like_mut) {
        Some(there) => there
            .entry("features")
            .or_insert_with(|| toml_edit::value(toml_edit::Array::new()))
            .as_array_mut(),
        None => {
            dependencies[name] = toml_edit::value(line.parse::<toml_edit::Value>()?);
            None
        }
    };
    if let Some(features) = feature {
        features.push("world");
    }
    Ok(manifest.to_string())
}

/// The lock file that a crate's copies share.
pub fn lock_file(home: &Path) -> PathBuf {
    home.join("Cargo.lock")
}

/// False for what was made for an earlier version in the table of crates, too.
fn has_real(lock: &str, Replaced { name, real }: &Replaced) -> bool {
    lock.contains(&format!("name = \"{name}\"\nversion = \"{real}\"\n"))
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
