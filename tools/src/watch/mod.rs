//! What `interlock watch` and an audit from afar are made of.

pub mod edge;
pub mod evidence;
pub mod look;
pub mod state;
pub mod tiles;
pub mod trouble;
pub mod webhook;
