//! Arguments, signals, exit status.

fn main() {}
