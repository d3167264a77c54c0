//! The lists: what upstream says is in a module.

pub mod make;
