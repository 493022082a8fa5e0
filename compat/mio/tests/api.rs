//! The shim has mio's public surface.

use mio as subject;

#[path = "../../../tests/api/surface.rs"]
mod surface;
