//! HTTP on smol, as the examples need it: a client, and a server on loopback.

pub(crate) mod client;
pub(crate) mod server;
