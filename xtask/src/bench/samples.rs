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
        self.engine("mio").or_else(|| self.engine("tokio on mio"))
    }

    /// The ratios of an engine to the base, round by round: what disturbs a round disturbs both.
    pub fn ratios(&self, engine: &Engine) -> Vec<f64> {
        let Some(base) = self.base() else {
            return Vec::new();
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
