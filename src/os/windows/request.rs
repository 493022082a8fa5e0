//! Memory that is lent to the kernel: it has one owner at any time, the program or the kernel.

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

/// An overlapped operation's memory, at rest: the kernel's part, and a body with all that the kernel may read and
/// write besides.
///
/// [`lend`](Request::lend) moves it into the kernel. It comes back in a [`Packet`](super::Packet), whatever becomes
/// of the operation: done, failed, cancelled, or its handle closed. So there is never a moment in which both could
/// free it, or neither.
pub(crate) struct Request<B>(Box<Block<B>>);

#[repr(C)]
struct Block<B> {
    header: Header,
    body: B,
}

/// What a request is for.
pub(crate) trait Body: Send + 'static + Sized {
    /// The kernel has given it back, and whoever took the packet didn't know what it was. Called by the thread that
    /// polls.
    fn returned(request: Request<Self>);
}

/// What every request begins with, so that a packet's pointer tells what it is. The pointer is that to `overlapped`.
#[repr(C)]
struct Header {
    overlapped: OVERLAPPED,
    body: TypeId,
    deliver: unsafe fn(NonNull<Header>),
    drop: unsafe fn(NonNull<Header>),
}

// SAFETY: the pointers in an OVERLAPPED are numbers to us; the body is `Send`.
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

    /// How the operation has ended.
    pub(crate) fn status(&self) -> NTSTATUS {
        self.0.header.overlapped.Internal as NTSTATUS
    }

    /// How many bytes the kernel says that it has moved, or copied back.
    pub(crate) fn information(&self) -> usize {
        self.0.header.overlapped.InternalHigh
    }

    /// How many bytes it has moved, if it hasn't failed. A warning, such as that a message has more to come, is no
    /// failure.
    #[cfg(feature = "os-ext")]
    pub(crate) fn transferred(&self) -> io::Result<usize> {
        match self.status() {
            status if is_failure(status) => Err(status_error(status)),
            _ => Ok(self.information()),
        }
    }

    /// Starts an operation, and gives the memory to the kernel until its packet comes back to `port`. If it can't be
    /// started, the memory is back at once.
    ///
    /// # Safety
    ///
    /// `start` must start at most one operation on a handle that is attached to `port`, with the pointer to its
    /// OVERLAPPED (as its status block too, if it is a native call) and no memory that isn't the body's or owned by
    /// it. It answers `Ok` if, and only if, a packet will come.
    pub(crate) unsafe fn lend(
        mut self,
        port: &Port,
        start: impl FnOnce(*mut OVERLAPPED, *mut B) -> io::Result<()>,
    ) -> Result<Ticket, (Request<B>, io::Error)> {
        self.0.header.overlapped = zeroed();
        port.has_lent();
        let block = Box::into_raw(self.0);
        // SAFETY: the block is alive: no packet can come for it before the operation is started.
        let (overlapped, body) =
            unsafe { (ptr::addr_of_mut!((*block).header.overlapped), ptr::addr_of_mut!((*block).body)) };
        match start(overlapped, body) {
            // From here on another thread may have got it back already: the pointer is a mere number.
            Ok(()) => Ok(Ticket(overlapped as usize)),
            Err(e) => {
                port.has_got_back();
                // SAFETY: made by `Box::into_raw` above, and the kernel didn't take it.
                Err((Request(unsafe { Box::from_raw(block) }), e))
            }
        }
    }
}

/// An operation that is with the kernel, by its address.
#[derive(Debug)]
pub(crate) struct Ticket(usize);

impl Ticket {
    /// Asks the kernel to end the operation; its packet comes as any other. If it has ended already, nothing happens.
    ///
    /// Whoever calls this must know that its packet hasn't been turned into a `Request` yet: the address might be
    /// another operation's by now, which would be cancelled in its place.
    pub(crate) fn cancel(&self, handle: BorrowedHandle<'_>) {
        // SAFETY: the kernel only compares the address with those of its operations.
        // The only error is that no such operation is under way.
        unsafe { CancelIoEx(handle.as_raw_handle(), self.0 as *const OVERLAPPED) };
    }
}

/// A request that the kernel has given back, before it is known of which kind it is.
pub(crate) struct Returned(NonNull<Header>);

impl Returned {
    /// # Safety
    ///
    /// The kernel has just given this pointer back in a packet, and every operation whose packets come to that port
    /// was started by [`Request::lend`].
    pub(super) unsafe fn new(overlapped: NonNull<OVERLAPPED>) -> Returned {
        Returned(overlapped.cast())
    }

    /// The request, if it is of that kind.
    pub(crate) fn downcast<B: Body>(self) -> Result<Request<B>, Returned> {
        // SAFETY: the kernel is done with it, so it is ours alone, and it begins with a header.
        let body = unsafe { self.0.as_ref() }.body;
        if body != TypeId::of::<B>() {
            return Err(self);
        }
        let block = self.0.cast::<Block<B>>();
        mem::forget(self);
        // SAFETY: it was made by `Box::into_raw` of a block with this body.
        Ok(Request(unsafe { Box::from_raw(block.as_ptr()) }))
    }

    /// Gives it to whom it belongs.
    pub(crate) fn deliver(self) {
        let header = self.0;
        mem::forget(self);
        // SAFETY: as in `downcast`; `deliver` was made for the body that it has.
        unsafe { (header.as_ref().deliver)(header) };
    }
}

impl Drop for Returned {
    fn drop(&mut self) {
        // SAFETY: as in `downcast`; `drop` was made for the body that it has.
        unsafe { (self.0.as_ref().drop)(self.0) };
    }
}

/// # Safety
///
/// As for [`drop_block`].
unsafe fn deliver_block<B: Body>(header: NonNull<Header>) {
    // SAFETY: the caller's promise.
    B::returned(Request(unsafe { Box::from_raw(header.cast::<Block<B>>().as_ptr()) }));
}

/// # Safety
///
/// It is the header of a block with such a body, made by `Box::into_raw`, and nobody uses it any more.
unsafe fn drop_block<B>(header: NonNull<Header>) {
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(header.cast::<Block<B>>().as_ptr()) });
}

fn zeroed() -> OVERLAPPED {
    // SAFETY: integers and pointers, for all of which zero is a value.
    unsafe { mem::zeroed() }
}
