//! The runtimes.

use super::Preview;
use crate::prelude::*;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

/// The only runtime here that opens a listener for a program of the first preview.
const WASMI: &str = "2.0.0";
const WASMI_FEATURES: &str = "run,wasi,validate,stable,memory64,portable-dispatch";
/// From 49 on its C interface has no way to give a program the network.
const WASMTIME: &str = "46.0.1";

pub struct Runtime {
    pub preview: Preview,
    /// wasmi's program, or the folder of wasmtime's package.
    tool: PathBuf,
}

impl Runtime {
    pub fn install(preview: Preview) -> Result<Runtime> {
        let tool = match preview {
            Preview::One => {
                let args = ["--no-default-features", "--features", WASMI_FEATURES];
                packages::cargo_install("wasmi_cli", WASMI, "wasmi", &args)?
            }
            Preview::Two => install_wasmtime()?,
        };
        Ok(Runtime { preview, tool })
    }

    /// Runs `program`, which may listen at `addr`: as its first descriptor if it can make no sockets itself.
    pub fn command(&self, program: &str, addr: SocketAddr) -> Command {
        match self.preview {
            Preview::One => {
                let mut command = Command::new(&self.tool);
                command.arg("run").arg("--tcplisten").arg(addr.to_string()).arg(program);
                command
            }
            Preview::Two => {
                let mut command = Command::new("python3");
                command.arg("-c").arg(include_str!("preview2.py")).arg(program);
                command.env("PYTHONPATH", &self.tool);
                command
            }
        }
    }
}

fn install_wasmtime() -> Result<PathBuf> {
    let tools = workspace::cache("tools")?;
    let folder = tools.join(format!("wasmtime-{WASMTIME}"));
    if !folder.exists() {
        println!("   installing wasmtime {WASMTIME}");
        let partial = tools.join("wasmtime.partial");
        let _ = fs::remove_dir_all(&partial);
        let mut install = Command::new("python3");
        install.args(["-m", "pip", "install", "--quiet", "--target"]).arg(&partial);
        install.arg(format!("wasmtime=={WASMTIME}"));
        Job::new(install, tools.join("wasmtime.log")).succeed().context("can't install wasmtime")?;
        fs::rename(partial, &folder)?;
    }
    Ok(folder)
}

/// Returns an address without a listener.
///
/// It is not one of the ports that systems choose themselves: while the program starts, another socket may get such a
/// port, or, when few are left, a client that connects to it may be connected to itself.
pub fn free_addr() -> Result<SocketAddr> {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    for _ in 0..1000 {
        let number =
            std::process::id().wrapping_mul(7919).wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed));
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 10_000 + (number % 20_000) as u16));
        if TcpListener::bind(addr).is_ok() && UdpSocket::bind(addr).is_ok() {
            return Ok(addr);
        }
    }
    bail!("no free port between 10000 and 30000")
}

/// The tests of a program, which runs to tell them.
pub fn list(runtime: &Runtime, program: &str) -> Result<Vec<String>> {
    let mut list = runtime.command(program, free_addr()?);
    list.args(["--list", "--format", "terse"]);
    Ok(crate::libtest::listed(&capture(&mut list)?))
}
