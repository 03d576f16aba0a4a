//! Proofs from the tiles that a server serves: what it says stands between two sizes, for whoever checks it.
//!
//! Guarantees: so many tiles at most are fetched; nothing of them is believed before `verifier` led them to a signed root.

use std::collections::HashMap;

use verifier::hash::{Hash, root_of};
use verifier::proof::{Nodes, prove_consistency, root};
use verifier::tile::{FULL_WIDTH, TILE_HEIGHT, Tile, width_at};

use crate::remote::{Refused, Remote};

/// Tiles below one proof: one for each level on either side of the seam, and as many again for the older root.
const MAX_TILES: usize = 64;

/// The older size's root in the tree of the newer size, and the consistency proof between them, as the server's tiles have it.
pub async fn growth(remote: &Remote, from: u64, to: u64) -> Result<(Hash, Vec<Hash>), Refused> {
    let mut tiles = Tiles { size: to, have: HashMap::new() };
    loop {
        let found = root(&tiles, from).and_then(|older| Ok((older, prove_consistency(&tiles, from, to)?)));
        match found {
            Ok(found) => return Ok(found),
            Err(_) if tiles.have.len() >= MAX_TILES => {
                return Err(Refused::Wrong(format!("a proof from {from} to {to} takes too many tiles")));
            }
            Err(missing) => {
                let hashes = remote.tile(missing).await?;
                tiles.have.insert(missing, hashes);
            }
        }
    }
}

/// The tiles of a tree that were fetched.
struct Tiles {
    size: u64,
    have: HashMap<Tile, Vec<Hash>>,
}

impl Nodes for Tiles {
    /// The tile that must be fetched first.
    type Error = Tile;

    fn node(&self, height: u8, index: u64) -> Result<Hash, Tile> {
        let (level, inside) = (u32::from(height) / TILE_HEIGHT, u32::from(height) % TILE_HEIGHT);
        let level = u8::try_from(level).unwrap_or(u8::MAX);
        let (first, full) = (index << inside, u64::from(FULL_WIDTH));
        let tile = first / full;
        let tile = Tile { level, index: tile, width: width_at(level, tile, self.size) };
        let start = usize::try_from(first % full).unwrap_or(0);
        let hashes = self.have.get(&tile).and_then(|hashes| hashes.get(start..start + (1 << inside)));
        hashes.map(root_of).ok_or(tile)
    }
}
