//! Linking for systems whose libraries aren't here: zig has their interfaces. From PyPI.

use super::super::sysroot::{script, Toolchain};
use crate::prelude::*;

const PACKAGES: [&str; 2] = ["ziglang==0.17.0", "cargo-zigbuild==0.24.0"];

#[derive(Clone, Copy)]
pub enum Zig {
    /// By cargo-zigbuild.
    Zigbuild,
    /// As a plain linker, for a target that cargo-zigbuild can't do, by zig's name for it.
    Plain(&'static str),
}

/// `cargo build ARGS --target TRIPLE`, linked by zig.
pub fn build(toolchain: &Toolchain, zig: Zig, triple: &str, args: &[&str]) -> Result<Command> {
    let home = install()?;
    let mut command = match zig {
        Zig::Zigbuild => {
            let mut command = Command::new(home.join("bin/cargo-zigbuild"));
            command.arg("zigbuild");
            toolchain.set_up(&mut command)?;
            command
        }
        Zig::Plain(name) => {
            let mut command = toolchain.cargo(["build"])?;
            let variable = triple.to_uppercase().replace('-', "_");
            command.env(format!("CARGO_TARGET_{variable}_LINKER"), linker(name)?);
            command
        }
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let given = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path);
    let path = given.map_or(path, |path| path.to_owned());
    let paths = std::iter::once(home.join("bin")).chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(paths)?);
    command.args(args).args(["--target", triple]);
    Ok(command)
}

/// A linker for a target, by zig's name for it.
pub fn linker(name: &str) -> Result<PathBuf> {
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
