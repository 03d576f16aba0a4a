//! What is left when power is lost: the medium, and whatever part of the un-synced changes the choice keeps.
//!
//! Why a seed: a disk may write un-synced sectors in any order, a file system lengths before bytes and names before both. No list of such
//! orders is complete; a choice that is made by a seed is arbitrary and can be repeated.

use std::path::{Path, PathBuf};

use super::{Change, State};

/// A disk writes this many bytes wholly or not at all.
const SECTOR: usize = 512;

/// One thing that may or may not have reached the medium.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unsynced {
    /// A whole change of a file: if it is not kept, its parts are asked for.
    Change,
    /// One byte of a write, by its place in the file.
    Byte(usize),
    /// A length, without the bytes that belong to it.
    Length,
    /// A change of a name.
    Name,
}

/// A choice made by a seed.
#[derive(Debug)]
pub(super) struct Choice {
    next: u64,
    grain: Grain,
    names: Names,
    sector: Option<(usize, bool)>,
}

/// How finely content is torn.
#[derive(Debug)]
enum Grain {
    Nothing,
    Changes,
    Sectors,
    Bytes,
}

/// Which changes of names are kept.
#[derive(Debug)]
enum Names {
    All,
    Some,
    None,
}

impl Choice {
    pub(super) fn new(seed: u64) -> Self {
        let mut choice = Self {
            next: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            grain: Grain::Nothing,
            names: Names::All,
            sector: None,
        };
        choice.grain = match seed % 4 {
            0 => Grain::Changes,
            1 => Grain::Sectors,
            2 => Grain::Bytes,
            _ => Grain::Nothing,
        };
        choice.names = match seed / 4 % 3 {
            0 => Names::Some,
            1 => Names::All,
            _ => Names::None,
        };
        choice
    }

    pub(super) fn keeps(&mut self, what: Unsynced) -> bool {
        match (what, &self.grain, &self.names) {
            (Unsynced::Name, _, Names::All) => true,
            (Unsynced::Name, _, Names::None) => false,
            (Unsynced::Change | Unsynced::Byte(_), Grain::Nothing, _) => false,
            (Unsynced::Change, Grain::Sectors | Grain::Bytes, _) | (Unsynced::Byte(_), Grain::Changes, _) => false,
            (Unsynced::Byte(at), Grain::Sectors, _) => match self.sector {
                Some((sector, kept)) if sector == at / SECTOR => kept,
                _ => {
                    let kept = self.coin();
                    self.sector = Some((at / SECTOR, kept));
                    kept
                }
            },
            (Unsynced::Name, _, Names::Some)
            | (Unsynced::Length, _, _)
            | (Unsynced::Change, Grain::Changes, _)
            | (Unsynced::Byte(_), Grain::Bytes, _) => self.coin(),
        }
    }

    /// SplitMix64.
    fn coin(&mut self) -> bool {
        self.next = self.next.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.next;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) & 1 == 1
    }
}

impl State {
    /// Power is lost: the medium is all there is.
    pub(super) fn lose(&mut self, keeps: &mut dyn FnMut(Unsynced) -> bool) {
        let mut names = self.durable_names.clone();
        for change in self.name_changes.drain(..) {
            if keeps(Unsynced::Name) {
                change.apply(&mut names);
            }
        }
        // What lies in a directory that is not there is not there.
        let there = |path: &Path| path.ancestors().all(|above| above.parent().is_none() || names.contains_key(above));
        let kept: Vec<PathBuf> = names.keys().filter(|path| there(path)).cloned().collect();
        names.retain(|path, _| kept.binary_search(path).is_ok());
        self.names.clone_from(&names);
        self.durable_names = names;
        for file in &mut self.files {
            for change in file.dirty.drain(..) {
                change.keep_part(&mut file.medium, keeps);
            }
            file.cache.clone_from(&file.medium);
        }
    }
}

impl Change {
    /// Applies what is kept of it.
    pub(super) fn keep_part(&self, to: &mut Vec<u8>, keeps: &mut dyn FnMut(Unsynced) -> bool) {
        if keeps(Unsynced::Change) {
            return self.apply(to);
        }
        match self {
            Self::Length(len) => {
                if keeps(Unsynced::Length) {
                    to.resize(*len, 0);
                }
            }
            Self::Bytes(at, bytes) => {
                for (place, byte) in (*at..).zip(bytes) {
                    if keeps(Unsynced::Byte(place)) {
                        Self::Bytes(place, vec![*byte]).apply(to);
                    }
                }
                if to.len() < at + bytes.len() && keeps(Unsynced::Length) {
                    to.resize(at + bytes.len(), 0);
                }
            }
        }
    }
}
