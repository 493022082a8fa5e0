//! Nothing: the package is its tests. They are apart from `world/cluster`, since their crates take minutes to build.
//!
//! Invariant: no crate here is changed for a world.
