//! `wakeful` under mio's name.
#![deny(missing_docs)]
pub use wakeful::*;
