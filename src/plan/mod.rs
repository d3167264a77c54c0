//! What to do, worked out from lists and from what was seen, as values. Nothing here touches a disk, a network or a clock.

pub mod filter;
