//! The command line.

use std::net::SocketAddr;

use wakeful::Backend;

pub const HELP: &str = "\
An echo server on one `Poll`, and a load that checks every byte.

Usage: echo [OPTIONS]

  --seconds N       how long to drive it (5)
  --connections N   how many connections, shared out among the transports, at least one each (300)
  --backend NAME    the `Poll`'s backend: epoll, posix_poll, ... (the platform's best)
  --serve ADDR      only serve, TCP and UDP, on ADDR (such as 127.0.0.1:7777)
  --descriptor N    only serve, TCP, from a listening socket that the program inherits as descriptor N
  --help            this text";

pub struct Options {
    pub mode: Mode,
    pub backend: Option<Backend>,
}

pub enum Mode {
    Serve(SocketAddr),
    ServeGiven(i32),
    Drive { seconds: u32, connections: usize },
}

impl Options {
    /// Returns `None` for `--help`.
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
        let (mut serve, mut given, mut seconds, mut connections, mut backend) =
            (None, None, None, None, None);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("`{arg}` needs a value"));
            match arg.as_str() {
                "--help" | "-h" => return Ok(None),
                "--serve" => serve = Some(address(&value()?)?),
                "--descriptor" => given = Some(number(&arg, &value()?, 1_000_000)? as i32),
                "--seconds" => seconds = Some(number(&arg, &value()?, 1_000_000)?),
                "--connections" => connections = Some(number(&arg, &value()?, 100_000)?),
                "--backend" => backend = Some(known_backend(&value()?)?),
                _ => return Err(format!("unknown argument `{arg}`")),
            }
        }
        let drives = seconds.is_some() || connections.is_some();
        let mode = match (serve, given) {
            (None, None) => Mode::Drive {
                seconds: seconds.unwrap_or(5),
                connections: connections.unwrap_or(300) as usize,
            },
            _ if drives => return Err("only serving takes no `--seconds` and no `--connections`".into()),
            (Some(address), None) => Mode::Serve(address),
            (None, Some(descriptor)) => Mode::ServeGiven(descriptor),
            (Some(_), Some(_)) => return Err("`--serve` or `--descriptor`, not both".into()),
        };
        Ok(Some(Options { mode, backend }))
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is not an address such as 127.0.0.1:7777"))
}

fn number(option: &str, text: &str, most: u32) -> Result<u32, String> {
    match text.parse() {
        Ok(n) if (1..=most).contains(&n) => Ok(n),
        _ => Err(format!("`{option}` takes a whole number from 1 to {most}, not `{text}`")),
    }
}

fn known_backend(text: &str) -> Result<Backend, String> {
    let backend = text.parse().map_err(|e| format!("`{text}`: {e}"))?;
    if Backend::available().contains(&backend) {
        Ok(backend)
    } else {
        Err(format!("this platform has no {backend}"))
    }
}
