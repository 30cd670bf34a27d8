//! The sans-IO client.
