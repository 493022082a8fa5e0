//! What one family of operating systems has beside sources.

#[cfg(windows)]
pub mod iocp;

/// Keeps the traits of this module to [`Poller`](crate::Poller).
#[cfg(windows)]
mod sealed {
    pub trait Sealed {}

    impl Sealed for crate::Poller {}
}
