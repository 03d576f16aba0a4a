//! What a log takes on the disk, by kind of file.

use std::fs;
use std::io;
use std::path::Path;

/// Bytes of each kind of file in a log's directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Journal segments as they were written.
    pub raw: u64,
    /// Sealed journal segments.
    pub sealed: u64,
    /// Entries in sealed segments: their names and those of their followers tell.
    pub sealed_entries: u64,
    /// Salts, requests and details.
    pub vault: u64,
    /// Nodes. Derived.
    pub tree: u64,
    /// Rows, positions and look-up tables. Derived.
    pub index: u64,
}

/// Measures the log in `dir`.
///
/// # Errors
/// If a directory cannot be read.
pub fn measure(dir: &Path) -> io::Result<Sizes> {
    let mut sizes = Sizes::default();
    for (name, total) in [("vault", &mut sizes.vault), ("tree", &mut sizes.tree), ("index", &mut sizes.index)] {
        *total = files(&dir.join(name))?.iter().map(|(_, len)| len).sum();
    }
    let journal = files(&dir.join("journal"))?;
    let first = |name: &str| name.split('.').next().and_then(|digits| digits.parse::<u64>().ok());
    let mut firsts: Vec<u64> = journal.iter().filter_map(|(name, _)| first(name)).collect();
    firsts.sort_unstable();
    firsts.dedup();
    for (name, len) in &journal {
        match (name.ends_with(".sealed"), first(name)) {
            (true, Some(first)) => {
                sizes.sealed += len;
                let next = firsts.iter().find(|next| **next > first);
                sizes.sealed_entries += next.map_or(0, |next| next - first);
            }
            (true, None) | (false, _) => sizes.raw += len,
        }
    }
    Ok(sizes)
}

fn files(dir: &Path) -> io::Result<Vec<(String, u64)>> {
    fs::read_dir(dir)?
        .map(|entry| {
            let entry = entry?;
            Ok((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len()))
        })
        .collect()
}
