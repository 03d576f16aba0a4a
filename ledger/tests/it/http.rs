//! The public read API over a real log, a real listener and a client that speaks bytes: what is on the wire is what is checked.

mod bundles;
mod codings;
mod entries;
mod epochs;
mod habits;
mod history;
mod page;
mod receipts;
mod records;
mod site;
mod tiles;
