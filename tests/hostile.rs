//! Peers that mean harm, before and behind the whole daemon: clients, hosts, name servers.

mod clients;
mod hosts;
mod inbound;
mod names;
mod smuggling;
