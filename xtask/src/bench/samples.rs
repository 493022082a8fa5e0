//! The numbers, and what is made of them.

use crate::prelude::*;

#[derive(Debug, Default)]
pub struct Samples {
    pub rows: Vec<Row>,
}

#[derive(Debug)]
pub struct Row {
    pub id: String,
    pub unit: String,
    pub title: String,
    pub engines: Vec<Engine>,
}

#[derive(Debug)]
pub struct Engine {
    pub name: String,
    /// By round.
    pub values: Vec<f64>,
}

const OURS: [&str; 4] = ["wakeful", "tokio on wakeful", "polling on wakeful", "smol on wakeful"];

/// The first that a row has. Only mio is in rows that have others of these.
const BASES: [&str; 7] =
    ["mio", "tokio on mio", "wakeful shared", "polling", "smol on polling", "system calls", "tokio"];

/// A median, the quartiles around it, and the ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

impl Samples {
    /// Reads lines `row,ID,UNIT,TITLE` and `ID,ENGINE,ROUND,VALUE`, in which rounds ascend.
    pub fn parse(csv: &str) -> Result<Samples> {
        let mut samples = Samples::default();
        for line in csv.lines() {
            samples.add(line).with_context(|| format!("not a line of numbers: {line}"))?;
        }
        Ok(samples)
    }

    fn add(&mut self, line: &str) -> Result<()> {
        let mut words = line.splitn(4, ',');
        let mut word = || words.next().context("a word is missing");
        let (first, second, third, fourth) = (word()?, word()?, word()?, word()?);
        if first == "row" {
            self.rows.push(Row {
                id: second.to_owned(),
                unit: third.to_owned(),
                title: fourth.to_owned(),
                engines: Vec::new(),
            });
            return Ok(());
        }
        let row = self.rows.last_mut().filter(|row| row.id == first).context("it belongs to no row")?;
        let value = fourth.parse().context("the value is no number")?;
        match row.engines.iter_mut().find(|engine| engine.name == second) {
            Some(engine) => engine.values.push(value),
            None => row.engines.push(Engine { name: second.to_owned(), values: vec![value] }),
        }
        Ok(())
    }
}

impl Row {
    pub fn engine(&self, name: &str) -> Option<&Engine> {
        self.engines.iter().find(|engine| engine.name == name)
    }

    /// What the others are compared with.
    pub fn base(&self) -> Option<&Engine> {
        BASES.iter().find_map(|name| self.engine(name))
    }

    /// What the goals are for: wakeful's default backend, or what stands on it.
    pub fn ours(&self) -> Option<&Engine> {
        OURS.iter().find_map(|name| self.engine(name))
    }

    /// The ratios of an engine to the base, round by round: what disturbs a round disturbs both. Where there is no
    /// base, its values.
    pub fn ratios(&self, engine: &Engine) -> Vec<f64> {
        let Some(base) = self.base() else {
            return engine.values.clone();
        };
        let ratio = |(&value, &base): (&f64, &f64)| match base {
            // Nothing against nothing is no worse.
            base if base == 0.0 && value == 0.0 => 1.0,
            base => value / base,
        };
        engine.values.iter().zip(&base.values).map(ratio).filter(|ratio| ratio.is_finite()).collect()
    }
}

impl Spread {
    pub fn of(values: &[f64]) -> Option<Spread> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Spread {
            low: quantile(&sorted, 0.25)?,
            median: quantile(&sorted, 0.5)?,
            high: quantile(&sorted, 0.75)?,
        })
    }
}

/// Of values in ascending order; between two of them in proportion.
pub fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let place = part * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: &str = "row,w1,ns,A, or b\nw1,mio,0,10\nw1,wakeful,0,5\nw1,mio,1,100\nw1,wakeful,1,80\n";

    #[test]
    fn ratios_are_of_the_same_round() {
        let samples = Samples::parse(CSV).unwrap();
        let row = &samples.rows[0];
        assert_eq!(row.title, "A, or b");
        assert_eq!(row.ratios(row.engine("wakeful").unwrap()), [0.5, 0.8]);
    }

    #[test]
    fn without_a_base_the_values_are_the_ratios() {
        let samples = Samples::parse("row,w8,of 1000,A\nw8,wakeful,0,2\nw8,wakeful,1,3\n").unwrap();
        let row = &samples.rows[0];
        assert!(row.base().is_none());
        assert_eq!(row.ratios(row.ours().unwrap()), [2.0, 3.0]);
    }

    #[test]
    fn a_row_is_compared_with_its_first_base() {
        let csv = "row,w9,ns,A\nw9,polling,0,10\nw9,polling on wakeful,0,5\n";
        let samples = Samples::parse(csv).unwrap();
        assert_eq!(samples.rows[0].ratios(samples.rows[0].ours().unwrap()), [0.5]);
        let samples = Samples::parse("row,w2,ns,A\nw2,polling,0,10\nw2,mio,0,5\n").unwrap();
        assert_eq!(samples.rows[0].base().unwrap().name, "mio");
    }

    #[test]
    fn what_is_no_number_is_an_error() {
        assert!(Samples::parse("w1,mio,0,10\n").is_err());
        assert!(Samples::parse("row,w1,ns,A\nw1,mio,0,ten\n").is_err());
    }

    #[test]
    fn quartiles_lie_between_values() {
        let spread = Spread::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(spread, Spread { low: 1.75, median: 2.5, high: 3.25 });
        assert_eq!(Spread::of(&[]), None);
    }
}
