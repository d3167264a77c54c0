//! qfm keeps a Linux mirror in step with its upstream.

pub mod config;
pub mod demo;
pub mod exit;
pub mod list;
