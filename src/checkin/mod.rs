//! Telling MirrorManager what is here.
//!
//! MirrorManager keeps, for each host and category (such as `Fedora Linux`), the directories that the host has, and leads clients there. A
//! private host tells it by a call of the XML-RPC method `checkin`. What is sent takes the place of what was known: what is not named
//! is taken to be gone. So it is never sent in part.
//!
//! [`payload`] writes the request, [`reply`] judges what came back, and both are pure; [`send`] calls.

pub mod payload;
pub mod reply;
pub mod send;
