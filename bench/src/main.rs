//! wakeful beside its peers, in one process and in one run. `cargo xtask bench` builds this, and makes a report of
//! what it prints: a line `row,ID,UNIT,TITLE` for each row, and under it lines `ID,ENGINE,ROUND,VALUE`.

mod batch;
mod clock;
mod engine;
mod engines;
mod processor;
mod program;
mod run;
mod sockets;
mod work;

use std::io::BufWriter;
use std::thread;

use anyhow::{bail, Context, Result};

fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    sockets::allow_many().context("can't raise the limit of descriptors")?;
    // With one thread glibc takes short cuts that no real program gets.
    thread::spawn(|| loop {
        thread::park();
    });

    let rows = work::rows(&options.programs);
    if let Some((id, engine)) = &options.serve {
        let row = rows.iter().find(|row| row.id == *id).with_context(|| format!("no row {id}"))?;
        return run::serve(row, engine);
    }
    compare_names(&rows)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for row in rows.iter().filter(|row| options.wants(&row.id)) {
        run::run(row, options.rounds, &mut out).with_context(|| row.id.clone())?;
    }
    Ok(())
}

/// `cargo xtask bench` refuses a name that isn't in the file, before it builds this: the file must have each row.
fn compare_names(rows: &[run::Row]) -> Result<()> {
    let names: Vec<&str> = include_str!("../rows.txt").lines().collect();
    if let Some(row) = rows.iter().find(|row| !names.contains(&row.id.as_str())) {
        bail!("bench/rows.txt lacks {}", row.id);
    }
    // The rows of runtimes are there if their programs are.
    let is_gone = |name: &&&str| {
        !["tokio", "smol"].iter().any(|runtime| name.starts_with(runtime))
            && !rows.iter().any(|row| row.id == **name)
    };
    match names.iter().find(is_gone) {
        Some(name) => bail!("bench/rows.txt has {name}, which is no row"),
        None => Ok(()),
    }
}

struct Options {
    /// Beginnings of the names of rows. All, if empty.
    rows: Vec<String>,
    rounds: usize,
    /// The programs with a runtime on each library: a name, such as "tokio on mio", and a path.
    programs: Vec<(String, String)>,
    /// To be a contestant: in this row, as this engine.
    serve: Option<(String, String)>,
}

impl Options {
    fn parse(args: impl Iterator<Item = String>) -> Result<Options> {
        let mut options = Options { rows: Vec::new(), rounds: 150, programs: Vec::new(), serve: None };
        let mut args = args;
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--rounds" => {
                    let rounds = args.next().context("--rounds wants a number")?;
                    options.rounds = rounds.parse().context("--rounds wants a number")?;
                }
                "--program" => match (args.next(), args.next()) {
                    (Some(name), Some(path)) => options.programs.push((name, path)),
                    _ => bail!("--program wants a name and a path"),
                },
                "--serve" => {
                    options.serve = args.next().zip(args.next());
                }
                option if option.starts_with('-') => bail!("unknown option {option}"),
                _ => options.rows.push(arg.to_lowercase()),
            }
        }
        Ok(options)
    }

    fn wants(&self, id: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|row| id.starts_with(row.as_str()))
    }
}
