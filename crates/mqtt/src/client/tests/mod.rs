//! The client against bytes written by hand.
