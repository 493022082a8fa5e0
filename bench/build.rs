//! Compiles what makes libuv's and libevent's callbacks into lists.

fn main() {
    println!("cargo:rerun-if-changed=c");
    #[cfg(feature = "c")]
    {
        cc::Build::new().file("c/libuv.c").file("c/libevent.c").opt_level(2).compile("peers");
        for library in ["uv", "event", "event_pthreads"] {
            println!("cargo:rustc-link-lib={library}");
        }
    }
}
