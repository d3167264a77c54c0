//! What a plan says, in words and as JSON.
