//! Linking for systems whose libraries aren't here: zig has their interfaces. From PyPI.

use crate::prelude::*;
use crate::sysroot::{cargo_for, script, set_up};

const PACKAGES: [&str; 2] = ["ziglang==0.17.0", "cargo-zigbuild==0.24.0"];

#[derive(Clone, Copy)]
pub enum Zig {
    /// By cargo-zigbuild.
    Zigbuild,
    /// As a plain linker, for a target that cargo-zigbuild can't do, by zig's name for it.
    Plain(&'static str),
}

/// `cargo build --target TRIPLE`, linked by zig.
pub fn build(zig: Zig, triple: &str) -> Result<Command> {
    let bin = install()?.join("bin");
    let mut command = match zig {
        Zig::Zigbuild => {
            let mut command = Command::new(bin.join("cargo-zigbuild"));
            command.arg("zigbuild");
            set_up(&mut command, triple)?;
            command
        }
        Zig::Plain(name) => {
            let mut command = cargo_for(triple, "build")?;
            let variable = triple.to_uppercase().replace('-', "_");
            command.env(format!("CARGO_TARGET_{variable}_LINKER"), linker(name)?);
            command
        }
    };
    let path = env::var_os("PATH").unwrap_or_default();
    command.env("PATH", env::join_paths([bin].into_iter().chain(env::split_paths(&path)))?);
    Ok(command)
}

/// A linker for a target, by zig's name for it.
fn linker(name: &str) -> Result<PathBuf> {
    let home = install()?;
    let linker = home.join(format!("bin/link-{name}"));
    // rustc talks to gcc; what zig doesn't know is left out.
    let lines = format!(
        "for x do\n  shift\n  case $x in\n    \
         -m64|--target=*|-Wl,--no-undefined-version|-Wl,-rpath*|-Wl,-Bsymbolic*) ;;\n    \
         *) set -- \"$@\" \"$x\" ;;\n  esac\ndone\n\
         exec {}/bin/python -m ziglang cc -target {name} \"$@\"",
        home.display()
    );
    script(&linker, &lines)?;
    Ok(linker)
}

fn install() -> Result<PathBuf> {
    let home = workspace::cache("cross")?.join("zig");
    if !home.join("bin/cargo-zigbuild").exists() {
        println!("   zig");
        capture(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
        capture(Command::new(home.join("bin/pip")).args(["install", "--quiet"]).args(PACKAGES))?;
    }
    Ok(home)
}
