//! The sources that a run uses, behind one face.

use std::any::Any;
use std::io;
use std::net::Shutdown;

use wakeful::event::Source;

/// One end of a pair.
pub trait End: Source + Send {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize>;
    fn write(&mut self, buf: &[u8]) -> io::Result<usize>;
    fn shutdown(&mut self, _: Shutdown) -> io::Result<bool> {
        Ok(false)
    }
    /// Where there are descriptors that stand for the same.
    fn duplicate(&self) -> Option<Box<dyn Any + Send>> {
        None
    }
}
