//! One turn of an engine.

/// How a batch is measured.
pub enum Batch {
    /// Does something so many times, and answers the nanoseconds that all of them took. Each time is so many
    /// operations.
    Times(u32, Box<dyn FnMut(u32) -> f64>),
    /// Answers a number in the row's unit.
    Value(Box<dyn FnMut() -> f64>),
}

impl Batch {
    pub fn times(batch: impl FnMut(u32) -> f64 + 'static) -> Batch {
        Batch::times_of(1, batch)
    }

    pub fn times_of(operations: usize, batch: impl FnMut(u32) -> f64 + 'static) -> Batch {
        Batch::Times(operations as u32, Box::new(batch))
    }

    pub fn value(batch: impl FnMut() -> f64 + 'static) -> Batch {
        Batch::Value(Box::new(batch))
    }
}
