//! A project of its own that uses the library, as a user's does. Everything is below the build folder.

use super::features;
use crate::prelude::*;

pub struct Consumer {
    folder: PathBuf,
    target: PathBuf,
    /// Its own: steps that run side by side build into one folder.
    program: String,
}

/// What the name of each project begins with.
const PREFIX: &str = "consumer-";

impl Consumer {
    /// A new one, without a lock file. `manifest` is what follows the package.
    pub fn new(name: &str, manifest: &str, main: &str) -> Result<Consumer> {
        let consumers = workspace::target("consumers")?;
        let folder = consumers.join(name);
        workspace::fresh(&folder)?;
        fs::create_dir(folder.join("src"))?;
        let program = format!("{PREFIX}{name}");
        let consumer = Consumer { folder, target: consumers.join("target"), program };
        // It is a workspace, or cargo would look for ours.
        let package = format!("name = \"{}\"\nversion = \"0.0.0\"\nedition = \"2021\"", consumer.program);
        consumer.write("Cargo.toml", &format!("[package]\n{package}\n\n[workspace]\n\n{manifest}"))?;
        consumer.write("src/main.rs", main)?;
        Ok(consumer)
    }

    /// One that uses the library with every feature, and both packages in compat.
    pub fn of_all(name: &str, main: &str) -> Result<Consumer> {
        let (wakeful, mio, polling) = (ours("wakeful-io", ".", &features::all()?)?, mio()?, polling()?);
        let dependencies = format!("wakeful = {wakeful}\nmio = {mio}\npolling = {polling}\n");
        Consumer::new(name, &format!("[dependencies]\n{dependencies}"), main)
    }

    /// Adds to the manifest.
    pub fn append(&self, manifest: &str) -> Result<()> {
        let old = fs::read_to_string(self.folder.join("Cargo.toml"))?;
        self.write("Cargo.toml", &format!("{old}\n{manifest}"))
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.folder.join(file), text)?)
    }

    /// Our cargo, in the project.
    pub fn cargo(&self, args: &[&str]) -> Result<Command> {
        Ok(self.here(cargo(args)?))
    }

    /// Another toolchain's. It builds into a folder of its own.
    pub fn cargo_of(&self, toolchain: &str, args: &[&str]) -> Result<Command> {
        let mut command = self.here(cargo_of(toolchain, args)?);
        command.env("CARGO_TARGET_DIR", self.target.with_file_name(format!("target-{toolchain}")));
        Ok(command)
    }

    fn here(&self, mut command: Command) -> Command {
        command.current_dir(&self.folder).env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// The program that `cargo build` makes.
    pub fn built(&self) -> PathBuf {
        self.target.join("debug").join(&self.program)
    }

    /// The packages that cargo has locked, without the project itself.
    pub fn locked(&self) -> Result<BTreeSet<String>> {
        let path = self.folder.join("Cargo.lock");
        let lock = fs::read_to_string(&path)?;
        names(&lock)
    }
}

/// One of our packages, as a dependency's value in a manifest.
pub fn ours(package: &str, folder: &str, features: &[String]) -> Result<String> {
    let path = workspace::root()?.join(folder);
    Ok(format!("{{ package = {package:?}, path = {}, features = {features:?} }}", quoted(&path)))
}

/// compat/mio, as a dependency's value in a manifest.
pub fn mio() -> Result<String> {
    ours("mio", "compat/mio", &["net", "os-ext"].map(str::to_owned))
}

/// compat/polling, as a dependency's value in a manifest.
pub fn polling() -> Result<String> {
    ours("polling", "compat/polling", &[])
}

/// A path as TOML's string.
pub fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

fn names(lock: &str) -> Result<BTreeSet<String>> {
    let lock: toml_edit::DocumentMut = lock.parse()?;
    let packages = lock["package"].as_array_of_tables().context("the lock file has no packages")?;
    let names = packages.iter().filter_map(|package| package["name"].as_str());
    Ok(names.filter(|name| !name.starts_with(PREFIX)).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locks_packages_are_read() {
        let lock =
            "version = 4\n\n[[package]]\nname = \"consumer-lock\"\ndependencies = [\n \"libc\",\n]\n\n\
            [[package]]\nname = \"libc\"\n";
        assert_eq!(names(lock).unwrap().into_iter().collect::<Vec<_>>(), ["libc"]);
    }
}
