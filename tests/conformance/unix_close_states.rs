//! Unix: what each backend can tell of closed halves and errors. The table is `PLATFORMS.md`'s.
