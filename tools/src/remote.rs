//! A log at its public address, read by whoever trusts nothing but the log's key (C2SP tlog-tiles).
//!
//! Guarantees: a head that comes out was signed by that key for its origin; a bundle is exactly as many entries as were asked for; every
//! answer has a limit of bytes and of time, and no redirect is followed. Entries and tiles are not believed: whoever folds them to a signed
//! root knows what they are worth.

use std::time::Duration;

use reqwest::StatusCode;
use tokio::task::JoinSet;
use verifier::checkpoint::SignedCheckpoint;
use verifier::hash::Hash;
use verifier::note::{MAX_NOTE, VerifierKey};
use verifier::tile::{Bundle, FULL_WIDTH, MAX_ENTRY, Tile};

use crate::client::Client;
use crate::exit::{Exit, Failure};

/// Bundles that are under way at once: enough to hide a network's delay. Together they have at most 134 MB.
const AT_ONCE: u64 = 8;
/// Bytes of a full bundle of the longest entries.
const MAX_BUNDLE: usize = FULL_WIDTH as usize * (2 + MAX_ENTRY);
/// Bytes of what a head signs: three lines, and as much again ten times of extension lines. Heads are kept by the dozen.
const MAX_HEAD_TEXT: usize = 4096;
/// Bytes of a full tile.
const MAX_TILE: usize = FULL_WIDTH as usize * Hash::LEN;

/// A log at its address.
#[derive(Debug, Clone)]
pub struct Remote {
    client: Client,
    key: VerifierKey,
}

/// Why something was not had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// No answer, or one that says that there is none now.
    Unavailable(String),
    /// An answer that cannot be what it is said to be.
    Wrong(String),
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unavailable(why) => Self::new(Exit::Unavailable, why),
            Refused::Wrong(why) => Self::new(Exit::Invalid, why),
        }
    }
}

impl Remote {
    /// The log of this key at `base`, whose answers may each take so long.
    pub fn new(base: &str, key: VerifierKey, patience: Duration) -> Result<Self, Failure> {
        Ok(Self { client: Client::patient(base, patience)?, key })
    }

    /// The key.
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The HTTP client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The newest head that the log shows.
    pub async fn head(&self) -> Result<SignedCheckpoint, Refused> {
        let path = "/checkpoint";
        let bytes = self.get(path, MAX_NOTE).await?.ok_or_else(|| gone(path))?;
        let note = String::from_utf8(bytes).map_err(|_| wrong(path, "not UTF-8"))?;
        if !has_short_text(&note) {
            return Err(wrong(path, format!("a head of more than {MAX_HEAD_TEXT} bytes")));
        }
        SignedCheckpoint::open(&note, &self.key, self.key.name()).map_err(|error| wrong(path, error))
    }

    /// The entries from `first` on, none at or above `size`: some bundles of them, and at least one entry where `first` is below `size`.
    pub async fn entries(&self, first: u64, size: u64) -> Result<Vec<Vec<u8>>, Refused> {
        let full = u64::from(FULL_WIDTH);
        let mut under_way = JoinSet::new();
        for index in (first / full..size.div_ceil(full)).take(usize::try_from(AT_ONCE).unwrap_or(1)) {
            let width = u16::try_from((size - index * full).min(full)).unwrap_or(FULL_WIDTH);
            let remote = self.clone();
            under_way.spawn(async move { (index, remote.bundle(Bundle { index, width }).await) });
        }
        let mut bundles = Vec::new();
        while let Some(done) = under_way.join_next().await {
            let (index, bundle) = done.map_err(|error| Refused::Unavailable(error.to_string()))?;
            bundles.push((index, bundle?));
        }
        bundles.sort_by_key(|(index, _)| *index);
        let skipped = usize::try_from(first % full).unwrap_or(0);
        Ok(bundles.into_iter().flat_map(|(_, entries)| entries).skip(skipped).collect())
    }

    async fn bundle(&self, bundle: Bundle) -> Result<Vec<Vec<u8>>, Refused> {
        let path = format!("/{}", bundle.path());
        let (path, bytes, read) = match self.get(&path, MAX_BUNDLE).await? {
            Some(bytes) => (path, bytes, bundle),
            // A server may drop a partial bundle once the full one is there.
            None => {
                let full = Bundle { width: FULL_WIDTH, ..bundle };
                let path = format!("/{}", full.path());
                let bytes = self.get(&path, MAX_BUNDLE).await?.ok_or_else(|| gone(&path))?;
                (path, bytes, full)
            }
        };
        let entries = read.split(&bytes).map_err(|error| wrong(&path, error))?;
        Ok(entries.into_iter().take(usize::from(bundle.width)).map(<[u8]>::to_vec).collect())
    }

    /// The hashes of a tile.
    pub async fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Refused> {
        let path = format!("/{}", tile.path());
        let (path, bytes, width) = match self.get(&path, MAX_TILE).await? {
            Some(bytes) => (path, bytes, tile.width),
            None => {
                let path = format!("/{}", Tile { width: FULL_WIDTH, ..tile }.path());
                let bytes = self.get(&path, MAX_TILE).await?.ok_or_else(|| gone(&path))?;
                (path, bytes, FULL_WIDTH)
            }
        };
        let hashes: Option<Vec<Hash>> = bytes.chunks(Hash::LEN).map(Hash::from_slice).collect();
        let hashes = hashes.filter(|hashes| hashes.len() == usize::from(width));
        let mut hashes = hashes.ok_or_else(|| wrong(&path, "not as many hashes as its width"))?;
        hashes.truncate(usize::from(tile.width));
        Ok(hashes)
    }

    /// What stands at a path; `None` if nothing does.
    async fn get(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, Refused> {
        let answer = self.client.get_within(path, limit).await.map_err(|failure| match failure.exit {
            Exit::Undecidable => Refused::Wrong(failure.to_string()),
            _ => Refused::Unavailable(failure.to_string()),
        })?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer.body)),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(Refused::Unavailable(format!("{path}: the server answered {status}"))),
        }
    }
}

/// Signature lines are no part of it: those of others are dropped where a head is kept.
fn has_short_text(note: &str) -> bool {
    note.rsplit_once("\n\n").is_none_or(|(text, _)| text.len() <= MAX_HEAD_TEXT)
}

fn gone(path: &str) -> Refused {
    Refused::Unavailable(format!("{path}: the server has nothing there"))
}

fn wrong(path: &str, what: impl std::fmt::Display) -> Refused {
    Refused::Wrong(format!("{path}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_may_have_many_signatures_and_no_long_text() {
        let lines = "\u{2014} witness.example/w AAAAAAAA\n".repeat(1000);
        assert!(has_short_text(&format!("log.example\n1\nroot\n\n{lines}")));
        assert!(!has_short_text(&format!("log.example\n1\nroot\n{}\n\n{lines}", "x".repeat(MAX_HEAD_TEXT))));
        assert!(has_short_text("what is no note is refused elsewhere"));
    }
}
