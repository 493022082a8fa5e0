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
    tools: PathBuf,
}

impl Runtime {
    pub fn install(preview: Preview) -> Result<Runtime> {
        let runtime = Runtime { preview, tools: workspace::cache("wasi")?.join("tools") };
        match preview {
            Preview::One => runtime.install_wasmi()?,
            Preview::Two => runtime.install_wasmtime()?,
        }
        Ok(runtime)
    }

    /// Runs `program`, which may listen at `addr`: as its first descriptor if it can make no sockets itself.
    pub fn command(&self, program: &str, addr: SocketAddr) -> Command {
        match self.preview {
            Preview::One => {
                let mut command = Command::new(self.wasmi());
                command.arg("run").arg("--tcplisten").arg(addr.to_string()).arg(program);
                command
            }
            Preview::Two => {
                let mut command = Command::new("python3");
                command.arg("-c").arg(include_str!("preview2.py")).arg(program);
                command.env("PYTHONPATH", self.wasmtime());
                command
            }
        }
    }

    fn wasmi(&self) -> PathBuf {
        self.tools.join("bin/wasmi")
    }

    fn wasmtime(&self) -> PathBuf {
        self.tools.join(format!("wasmtime-{WASMTIME}"))
    }

    fn install_wasmi(&self) -> Result<()> {
        if self.wasmi().exists() {
            return Ok(());
        }
        println!("   installing wasmi {WASMI}");
        let mut install = cargo(["install", "wasmi_cli", "--locked", "--no-default-features"])?;
        install.args(["--version", WASMI, "--features", WASMI_FEATURES, "--root"]).arg(&self.tools);
        install.current_dir(std::env::temp_dir());
        self.do_install(install, "wasmi")
    }

    fn install_wasmtime(&self) -> Result<()> {
        if self.wasmtime().exists() {
            return Ok(());
        }
        println!("   installing wasmtime {WASMTIME}");
        let partial = self.tools.join("wasmtime.partial");
        let _ = fs::remove_dir_all(&partial);
        let mut install = Command::new("python3");
        install.args(["-m", "pip", "install", "--quiet", "--target"]).arg(&partial);
        install.arg(format!("wasmtime=={WASMTIME}"));
        self.do_install(install, "wasmtime")?;
        Ok(fs::rename(partial, self.wasmtime())?)
    }

    fn do_install(&self, command: Command, name: &str) -> Result<()> {
        let job = Job::new(command, self.tools.join(format!("{name}.log")));
        job.succeed().with_context(|| format!("can't install {name}")).map(drop)
    }
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
