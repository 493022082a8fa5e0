//! Memory that is lent to the kernel for an overlapped operation.
//!
//! Invariant: it has one owner at any time, the program or the kernel.

use std::any::TypeId;
use std::io;
use std::mem;
use std::os::windows::io::{AsRawHandle, BorrowedHandle};
use std::ptr::{self, NonNull};

use windows_sys::Win32::Foundation::NTSTATUS;
use windows_sys::Win32::System::IO::{CancelIoEx, OVERLAPPED};

use super::Port;
#[cfg(feature = "os-ext")]
use super::{is_failure, status_error};

/// The memory of an overlapped operation, at rest: the kernel's part, and a body with everything else that the kernel
/// may read and write.
///
/// [`lend`](Request::lend) moves it to the kernel. It comes back in a [`Packet`](super::Packet), whether the
/// operation has completed, failed, was cancelled, or its handle was closed. So at no moment could both free it, or
/// neither.
pub(crate) struct Request<B>(Box<Block<B>>);

#[repr(C)]
struct Block<B> {
    header: Header,
    body: B,
}

/// The body of a request, which defines its purpose.
pub(crate) trait Body: Send + 'static + Sized {
    /// Called by the polling thread with a request that the kernel has returned, if the code that took the packet
    /// doesn't know its kind.
    fn returned(request: Request<Self>);
}

/// The beginning of every request, by which a packet's pointer reveals its kind. The pointer is that to `overlapped`.
#[repr(C)]
struct Header {
    overlapped: OVERLAPPED,
    body: TypeId,
    deliver: unsafe fn(NonNull<Header>),
    drop: unsafe fn(NonNull<Header>),
}

// SAFETY: the pointers in an OVERLAPPED are used as numbers only; the body is `Send`.
unsafe impl<B: Send> Send for Request<B> {}

impl<B: Body> Request<B> {
    pub(crate) fn new(body: B) -> Request<B> {
        Request(Box::new(Block {
            header: Header {
                overlapped: zeroed(),
                body: TypeId::of::<B>(),
                deliver: deliver_block::<B>,
                drop: drop_block::<B>,
            },
            body,
        }))
    }

    pub(crate) fn body(&self) -> &B {
        &self.0.body
    }

    pub(crate) fn body_mut(&mut self) -> &mut B {
        &mut self.0.body
    }

    /// Returns the final status of the operation.
    pub(crate) fn status(&self) -> NTSTATUS {
        self.0.header.overlapped.Internal as NTSTATUS
    }

    /// Returns the number of bytes that the kernel reports as transferred, or copied back.
    pub(crate) fn information(&self) -> usize {
        self.0.header.overlapped.InternalHigh
    }

    /// Returns the number of bytes transferred, or the error of a failed operation. A warning, such as for a message
    /// that continues, is no failure.
    #[cfg(feature = "os-ext")]
    pub(crate) fn transferred(&self) -> io::Result<usize> {
        match self.status() {
            status if is_failure(status) => Err(status_error(status)),
            _ => Ok(self.information()),
        }
    }

    /// Starts an operation, and lends the memory to the kernel until its packet arrives at `port`. If the operation
    /// can't be started, the memory is returned at once.
    ///
    /// # Safety
    ///
    /// `start` must start at most one operation on a handle that is attached to `port`, with the pointer to its
    /// OVERLAPPED (as its status block too, if it is a native call) and no memory that isn't the body's or owned by
    /// it. It returns `Ok` if, and only if, a packet will arrive.
    pub(crate) unsafe fn lend(
        mut self,
        port: &Port,
        start: impl FnOnce(*mut OVERLAPPED, *mut B) -> io::Result<()>,
    ) -> Result<Ticket, (Request<B>, io::Error)> {
        self.0.header.overlapped = zeroed();
        port.has_lent();
        let block = Box::into_raw(self.0);
        // SAFETY: the block is alive: no packet can arrive for it before the operation is started.
        let (overlapped, body) =
            unsafe { (ptr::addr_of_mut!((*block).header.overlapped), ptr::addr_of_mut!((*block).body)) };
        match start(overlapped, body) {
            // From here on another thread may have taken it back: the pointer is only a number.
            Ok(()) => Ok(Ticket(overlapped as usize)),
            Err(e) => {
                port.has_got_back();
                // SAFETY: created by `Box::into_raw` above, and the kernel didn't take it.
                Err((Request(unsafe { Box::from_raw(block) }), e))
            }
        }
    }
}

/// An operation in the kernel, by its address.
#[derive(Debug)]
pub(crate) struct Ticket(usize);

impl Ticket {
    /// Asks the kernel to cancel the operation, whose packet then arrives like any other. Does nothing if the
    /// operation has ended.
    ///
    /// The caller must know that the packet has not been turned into a `Request` yet: afterwards the address may be
    /// another operation's, which would be cancelled instead.
    pub(crate) fn cancel(&self, handle: BorrowedHandle<'_>) {
        // SAFETY: the kernel only compares the address with those of its operations. The only error is that no such
        // operation is in progress.
        unsafe { CancelIoEx(handle.as_raw_handle(), self.0 as *const OVERLAPPED) };
    }
}

/// A request that the kernel has returned, before its kind is known.
pub(crate) struct Returned(NonNull<Header>);

impl Returned {
    /// # Safety
    ///
    /// The kernel has just returned this pointer in a packet, and every operation whose packets arrive at that port
    /// was started by [`Request::lend`].
    pub(super) unsafe fn new(overlapped: NonNull<OVERLAPPED>) -> Returned {
        Returned(overlapped.cast())
    }

    /// Returns the request, if it is of that kind.
    pub(crate) fn downcast<B: Body>(self) -> Result<Request<B>, Returned> {
        // SAFETY: the kernel has returned it, so this is the only pointer to it, and it begins with a header.
        let body = unsafe { self.0.as_ref() }.body;
        if body != TypeId::of::<B>() {
            return Err(self);
        }
        let block = self.0.cast::<Block<B>>();
        mem::forget(self);
        // SAFETY: it was created by `Box::into_raw` of a block with this body.
        Ok(Request(unsafe { Box::from_raw(block.as_ptr()) }))
    }

    /// Passes the request to its body's [`returned`](Body::returned).
    pub(crate) fn deliver(self) {
        let header = self.0;
        mem::forget(self);
        // SAFETY: as in `downcast`; `deliver` is the function for its body.
        unsafe { (header.as_ref().deliver)(header) };
    }
}

impl Drop for Returned {
    fn drop(&mut self) {
        // SAFETY: as in `downcast`; `drop` is the function for its body.
        unsafe { (self.0.as_ref().drop)(self.0) };
    }
}

/// # Safety
///
/// The contract of [`drop_block`].
unsafe fn deliver_block<B: Body>(header: NonNull<Header>) {
    // SAFETY: the caller's promise.
    B::returned(Request(unsafe { Box::from_raw(header.cast::<Block<B>>().as_ptr()) }));
}

/// # Safety
///
/// `header` belongs to a block with such a body, created by `Box::into_raw`, and this is the last use of it.
unsafe fn drop_block<B>(header: NonNull<Header>) {
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(header.cast::<Block<B>>().as_ptr()) });
}

fn zeroed() -> OVERLAPPED {
    // SAFETY: integers and pointers, for all of which zero is a value.
    unsafe { mem::zeroed() }
}
