//! What nearly every task needs, in one import.

pub use std::collections::{BTreeMap, BTreeSet};
pub use std::path::{Path, PathBuf};
pub use std::process::{Command, Stdio};
pub use std::time::{Duration, Instant};
pub use std::{env, fmt, thread};

/// Whose errors name the file.
pub use fs_err as fs;

pub use anyhow::{bail, ensure, Context, Result};

pub use crate::command::{
    capture, cargo, cargo_of, executables, messages, need, packages_of, read_lossy, rustflags, start_failed,
    table, Shown,
};
pub use crate::job::{Ended, Job};
pub use crate::libtest::{listed, Outcome, Output, Verdict};
pub(crate) use crate::{packages, rustup, workspace, Task};
