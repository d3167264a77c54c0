//! qfm keeps a Linux mirror in step with its upstream.

pub mod cli;
pub mod config;
pub mod exit;
