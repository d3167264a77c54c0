//! qfm keeps a Linux mirror in step with its upstream.

pub mod cli;
pub mod config;
pub mod demo;
pub mod exit;
pub mod interrupt;
pub mod list;
pub mod path;
pub mod plan;
pub mod report;
pub mod rsync;
pub mod state;
pub mod sync;
pub mod tree;
