//! The limit: what a program could do that calls the kernel itself, with nothing in between, for this one purpose.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;
use std::{mem, ptr};

use super::CAPACITY;
use crate::engine::{Engine, Source, Wake, WAKE};

pub struct Raw {
    epoll: OwnedFd,
}

/// A system call without the libc wrapper, which is a cancellation point and costs two atomic operations.
macro_rules! call {
    ($number:ident $(, $arg:expr)*) => {
        // SAFETY: each caller passes memory that is as long as it says and outlives the call.
        match unsafe { syscall!(libc::$number $(, $arg)*) } {
            error @ -4095..=-1 => Err(io::Error::from_raw_os_error(-error as i32)),
            result => Ok(result as usize),
        }
    };
}

/// By the instruction: each return after a system call costs, where the kernel untrains them.
#[cfg(target_arch = "x86_64")]
macro_rules! syscall {
    ($number:expr) => {
        instruction($number, [0; 6])
    };
    ($number:expr, $a:expr) => {
        instruction($number, [$a as i64, 0, 0, 0, 0, 0])
    };
    ($number:expr, $a:expr, $b:expr) => {
        instruction($number, [$a as i64, $b as i64, 0, 0, 0, 0])
    };
    ($number:expr, $a:expr, $b:expr, $c:expr) => {
        instruction($number, [$a as i64, $b as i64, $c as i64, 0, 0, 0])
    };
    ($number:expr, $a:expr, $b:expr, $c:expr, $d:expr) => {
        instruction($number, [$a as i64, $b as i64, $c as i64, $d as i64, 0, 0])
    };
    ($number:expr, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr, $f:expr) => {
        instruction($number, [$a as i64, $b as i64, $c as i64, $d as i64, $e as i64, $f as i64])
    };
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn instruction(number: libc::c_long, args: [i64; 6]) -> i64 {
    let result;
    // SAFETY: the kernel's convention; the caller's promise for the memory.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

#[cfg(not(target_arch = "x86_64"))]
macro_rules! syscall {
    ($($arg:expr),*) => {
        match libc::syscall($($arg),*) {
            -1 => -i64::from(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)),
            result => result as i64,
        }
    };
}

impl Engine for Raw {
    type Waker = EventFd;
    type Events = Vec<libc::epoll_event>;
    type Tcp = Socket;
    type Listener = Socket;
    type Udp = Socket;
    type Pipe = Pipe;

    fn open() -> io::Result<Self> {
        let epoll = call!(SYS_epoll_create1, libc::EPOLL_CLOEXEC)?;
        Ok(Raw { epoll: owned(epoll) })
    }

    fn waker(&mut self) -> io::Result<EventFd> {
        let fd = owned(call!(SYS_eventfd2, 0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK)?);
        self.control(libc::EPOLL_CTL_ADD, fd.as_raw_fd(), WAKE)?;
        Ok(EventFd(Arc::new(fd)))
    }

    fn events() -> Self::Events {
        Vec::with_capacity(CAPACITY)
    }

    #[inline(always)]
    fn poll(&mut self, events: &mut Self::Events, timeout: Option<Duration>) {
        let epoll = self.epoll.as_raw_fd();
        let room = events.capacity();
        let found = match timeout {
            Some(timeout) if timeout.subsec_nanos() % 1_000_000 != 0 => {
                let timeout =
                    libc::timespec { tv_sec: timeout.as_secs() as _, tv_nsec: timeout.subsec_nanos() as _ };
                let none = ptr::null::<libc::sigset_t>();
                call!(SYS_epoll_pwait2, epoll, events.as_mut_ptr(), room, ptr::from_ref(&timeout), none, 8)
            }
            timeout => {
                let milliseconds = timeout.map_or(-1, |timeout| timeout.as_millis() as libc::c_int);
                // 15 ns cheaper than `epoll_pwait`, where there is such a call.
                #[cfg(target_arch = "x86_64")]
                {
                    call!(SYS_epoll_wait, epoll, events.as_mut_ptr(), room, milliseconds)
                }
                #[cfg(not(target_arch = "x86_64"))]
                {
                    call!(SYS_epoll_pwait, epoll, events.as_mut_ptr(), room, milliseconds, 0, 8)
                }
            }
        };
        // SAFETY: the kernel has written that many.
        unsafe { events.set_len(found.expect("epoll_wait")) };
    }

    fn readable(events: &Self::Events, mut each: impl FnMut(usize)) {
        for event in events {
            if event.events & libc::EPOLLIN as u32 != 0 {
                each(event.u64 as usize);
            }
        }
    }

    fn tcp(socket: std::net::TcpStream) -> Socket {
        Socket(socket.into())
    }

    fn listener(socket: std::net::TcpListener) -> Socket {
        Socket(socket.into())
    }

    fn udp(socket: std::net::UdpSocket) -> Socket {
        Socket(socket.into())
    }

    fn pipe(fd: OwnedFd) -> Pipe {
        Pipe(fd)
    }

    /// Like the others it asks for the peer's address.
    fn accept(listener: &Socket) -> io::Result<Socket> {
        let mut addr = mem::MaybeUninit::<libc::sockaddr_in>::uninit();
        let mut len = mem::size_of_val(&addr) as libc::socklen_t;
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let fd =
            call!(SYS_accept4, listener.0.as_raw_fd(), addr.as_mut_ptr(), ptr::from_mut(&mut len), flags)?;
        Ok(Socket(owned(fd)))
    }

    fn recv_from(socket: &Socket, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let mut addr = mem::MaybeUninit::<libc::sockaddr_in>::uninit();
        let mut len = mem::size_of_val(&addr) as libc::socklen_t;
        let fd = socket.0.as_raw_fd();
        let n = call!(
            SYS_recvfrom,
            fd,
            buf.as_mut_ptr(),
            buf.len(),
            0,
            addr.as_mut_ptr(),
            ptr::from_mut(&mut len)
        )?;
        // SAFETY: the benchmark's sockets are IPv4, and the kernel has told the sender's address.
        let addr = unsafe { addr.assume_init() };
        let ip = Ipv4Addr::from(u32::from_be(addr.sin_addr.s_addr));
        Ok((n, SocketAddrV4::new(ip, u16::from_be(addr.sin_port)).into()))
    }

    fn send_to(socket: &Socket, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        let SocketAddr::V4(target) = target else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        // SAFETY: zeroes are an address.
        let mut addr: libc::sockaddr_in = unsafe { mem::zeroed() };
        addr.sin_family = libc::AF_INET as _;
        addr.sin_port = target.port().to_be();
        addr.sin_addr.s_addr = u32::from(*target.ip()).to_be();
        let (fd, len) = (socket.0.as_raw_fd(), mem::size_of_val(&addr));
        call!(SYS_sendto, fd, buf.as_ptr(), buf.len(), libc::MSG_NOSIGNAL, ptr::from_ref(&addr), len)
    }
}

/// A source in the one-shot mode, and the two calls of its cycle.
pub struct OneShot {
    raw: Raw,
    events: Vec<libc::epoll_event>,
    source: OwnedFd,
}

impl OneShot {
    const FLAGS: libc::c_int = libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLONESHOT;

    /// `source` is readable, and stays so.
    pub fn new(source: OwnedFd) -> io::Result<OneShot> {
        let raw = Raw::open()?;
        raw.control_with(libc::EPOLL_CTL_ADD, source.as_raw_fd(), OneShot::FLAGS, 7)?;
        Ok(OneShot { raw, events: Vec::with_capacity(16), source })
    }

    #[inline(always)]
    pub fn cycle(&mut self) {
        let fd = self.source.as_raw_fd();
        self.raw.control_with(libc::EPOLL_CTL_MOD, fd, OneShot::FLAGS, 7).expect("epoll_ctl");
        self.raw.poll(&mut self.events, Some(Duration::ZERO));
        assert!(self.events.len() == 1, "an event was lost");
    }
}

impl Raw {
    fn control(&self, what: libc::c_int, fd: RawFd, token: usize) -> io::Result<()> {
        self.control_with(what, fd, libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET, token)
    }

    #[inline(always)]
    fn control_with(&self, what: libc::c_int, fd: RawFd, flags: libc::c_int, token: usize) -> io::Result<()> {
        let mut event = libc::epoll_event { events: flags as u32, u64: token as u64 };
        call!(SYS_epoll_ctl, self.epoll.as_raw_fd(), what, fd, ptr::from_mut(&mut event))?;
        Ok(())
    }
}

pub struct Socket(OwnedFd);

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        call!(SYS_recvfrom, self.0.as_raw_fd(), buf.as_mut_ptr(), buf.len(), 0, 0, 0)
    }
}

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        call!(SYS_sendto, self.0.as_raw_fd(), buf.as_ptr(), buf.len(), libc::MSG_NOSIGNAL, 0, 0)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub struct Pipe(OwnedFd);

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Pipe {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        call!(SYS_read, self.0.as_raw_fd(), buf.as_mut_ptr(), buf.len())
    }
}

impl<S: AsFd> Source<Raw> for S {
    fn register(&mut self, engine: &mut Raw, token: usize) -> io::Result<()> {
        engine.control(libc::EPOLL_CTL_ADD, self.as_fd().as_raw_fd(), token)
    }

    fn reregister(&mut self, engine: &mut Raw, token: usize) -> io::Result<()> {
        engine.control(libc::EPOLL_CTL_MOD, self.as_fd().as_raw_fd(), token)
    }

    fn deregister(&mut self, engine: &mut Raw) -> io::Result<()> {
        engine.control(libc::EPOLL_CTL_DEL, self.as_fd().as_raw_fd(), 0)
    }
}

/// One system call for each wake.
pub struct EventFd(Arc<OwnedFd>);

impl Wake for EventFd {
    fn wake(&self) {
        let one = 1u64;
        call!(SYS_write, self.0.as_raw_fd(), ptr::from_ref(&one), 8).expect("eventfd");
    }
}

fn owned(fd: usize) -> OwnedFd {
    // SAFETY: just created by the kernel, and not owned elsewhere.
    unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
}
