//! Tiles and entry bundles (C2SP tlog-tiles): paths, widths, and the entries inside a bundle.
//!
//! Guarantees one path per resource: every other spelling is refused, so caches and servers cannot disagree about a name.
//! Does not hold hashes and does not know which sizes were published.

use core::fmt;

use crate::text;

/// Hashes in a full tile and entries in a full bundle.
pub const FULL_WIDTH: u16 = 256;
/// Binary levels that one tile spans.
pub const TILE_HEIGHT: u32 = 8;
/// Highest tile level that has a path. Levels above 7 stay empty in a log of fewer than 2^63 leaves.
pub const MAX_LEVEL: u8 = 63;
/// Bytes of an entry: its length is an unsigned 16-bit number.
pub const MAX_ENTRY: usize = u16::MAX as usize;

/// Longest path there is: `tile/entries/`, seven groups of a number below 2^63, `.p/255`.
const MAX_PATH_TEXT: usize = 64;

/// Why a path or a bundle is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Not the one spelling of a tile's or bundle's path.
    #[error("not a tile path")]
    Path,
    /// A bundle that ends inside an entry, or holds more or fewer than its width.
    #[error("malformed entry bundle")]
    Bundle,
    /// An entry above [`MAX_ENTRY`] bytes.
    #[error("entry is longer than 65535 bytes")]
    EntryTooLong,
}

/// `tile/<level>/<index>[.p/<width>]`: up to 256 hashes of one level, 32 bytes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// 0 holds leaf hashes; each level above hashes 256 of the one below. At most [`MAX_LEVEL`].
    pub level: u8,
    /// Which tile of its level, from the left, below 2^63.
    pub index: u64,
    /// Hashes in it: 1 to 256, 256 being a full tile.
    pub width: u16,
}

/// `tile/entries/<index>[.p/<width>]`: up to 256 entries, each behind its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bundle {
    /// Which bundle, from the left; it holds the entries under level-0 tile `index`.
    pub index: u64,
    /// Entries in it: 1 to 256, 256 being a full bundle.
    pub width: u16,
}

/// What a tile path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Hashes.
    Tile(Tile),
    /// Entries.
    Bundle(Bundle),
}

impl Resource {
    /// Reads a path such as `tile/0/x001/x234/067.p/8` or `tile/entries/000`, without a leading slash.
    ///
    /// # Errors
    /// [`TileError::Path`] for every other spelling: leading zeros, missing groups, `.p/0`, `.p/256`.
    pub fn parse(path: &str) -> Result<Resource, TileError> {
        if path.len() > MAX_PATH_TEXT {
            return Err(TileError::Path);
        }
        let rest = path.strip_prefix("tile/").ok_or(TileError::Path)?;
        let (level, number) = rest.split_once('/').ok_or(TileError::Path)?;
        let (number, width) = match number.split_once(".p/") {
            None => (number, FULL_WIDTH),
            Some((number, width)) => (number, parse_width(width)?),
        };
        let index = parse_number(number)?;
        if level == "entries" {
            return Ok(Resource::Bundle(Bundle { index, width }));
        }
        let level = text::decimal(level).ok().and_then(|level| u8::try_from(level).ok()).ok_or(TileError::Path)?;
        if level > MAX_LEVEL {
            return Err(TileError::Path);
        }
        Ok(Resource::Tile(Tile { level, index, width }))
    }
}

impl Tile {
    /// The path, without a leading slash.
    #[must_use]
    pub fn path(&self) -> String {
        self.to_string()
    }

    /// Whether a log of `size` leaves has this many hashes in this tile.
    #[must_use]
    pub fn exists_at(&self, size: u64) -> bool {
        self.width >= 1 && self.width <= width_at(self.level, self.index, size)
    }
}

impl Bundle {
    /// The path, without a leading slash.
    #[must_use]
    pub fn path(&self) -> String {
        self.to_string()
    }

    /// Whether a log of `size` leaves has this many entries in this bundle.
    #[must_use]
    pub fn exists_at(&self, size: u64) -> bool {
        self.width >= 1 && self.width <= width_at(0, self.index, size)
    }

    /// Index of the first entry in the log; `None` if it is not below 2^64.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.index.checked_mul(u64::from(FULL_WIDTH))
    }

    /// The entries of this bundle, all of them or none.
    ///
    /// # Errors
    /// [`TileError::Bundle`] unless `bytes` hold exactly `width` entries and nothing else.
    pub fn split<'a>(&self, bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, TileError> {
        let mut split = Vec::with_capacity(usize::from(self.width));
        for entry in entries(bytes) {
            if split.len() == usize::from(self.width) {
                return Err(TileError::Bundle);
            }
            split.push(entry?);
        }
        if split.len() == usize::from(self.width) { Ok(split) } else { Err(TileError::Bundle) }
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        fmt_number(self.index, self.width, f)
    }
}

impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tile/entries/")?;
        fmt_number(self.index, self.width, f)
    }
}

/// Hashes that tile `index` of `level` has in a log of `size` leaves: 0 to 256. Only hashes of full tiles below count.
#[must_use]
pub fn width_at(level: u8, index: u64, size: u64) -> u16 {
    let hashes = size.checked_shr(TILE_HEIGHT * u32::from(level)).unwrap_or(0);
    let before = index.saturating_mul(u64::from(FULL_WIDTH));
    let here = hashes.saturating_sub(before).min(u64::from(FULL_WIDTH));
    u16::try_from(here).unwrap_or(FULL_WIDTH)
}

/// Width of the partial tile at the right edge of `level` in a log of `size` leaves: floor(size / 256^level) mod 256.
/// 0 means that there is none and must be none.
#[must_use]
pub fn partial_width(level: u8, size: u64) -> u16 {
    let hashes = size.checked_shr(TILE_HEIGHT * u32::from(level)).unwrap_or(0);
    u16::try_from(hashes % u64::from(FULL_WIDTH)).unwrap_or(0)
}

/// The partial tiles of a log of `size` leaves, one per level at most, lowest first.
pub fn partial_tiles(size: u64) -> impl Iterator<Item = Tile> {
    (0..8_u8).filter_map(move |level| {
        let width = partial_width(level, size);
        let index = size.checked_shr(TILE_HEIGHT * (u32::from(level) + 1)).unwrap_or(0);
        (width > 0).then_some(Tile { level, index, width })
    })
}

/// Appends one entry in bundle form: its length in two bytes, big-endian, then its bytes.
///
/// # Errors
/// [`TileError::EntryTooLong`]; nothing is appended then.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), TileError> {
    let length = u16::try_from(entry.len()).map_err(|_| TileError::EntryTooLong)?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// Entries of `bytes` in bundle form, as many as there are. Ends after the first error.
#[must_use]
pub fn entries(bytes: &[u8]) -> Entries<'_> {
    Entries { rest: bytes }
}

/// Iterator over entries in bundle form.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<&'a [u8], TileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let split = self
            .rest
            .split_first_chunk::<2>()
            .and_then(|(length, rest)| rest.split_at_checked(usize::from(u16::from_be_bytes(*length))));
        match split {
            Some((entry, rest)) => {
                self.rest = rest;
                Some(Ok(entry))
            }
            None => {
                self.rest = &[];
                Some(Err(TileError::Bundle))
            }
        }
    }
}

fn fmt_number(number: u64, width: u16, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // Groups of three digits from the right; seven hold every u64.
    let mut groups = [0_u16; 7];
    let mut rest = number;
    let mut used = 0;
    for group in groups.iter_mut().rev() {
        *group = u16::try_from(rest % 1000).unwrap_or(0);
        rest /= 1000;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    for (left, group) in (0..used).rev().zip(groups.iter().skip(groups.len() - used)) {
        if left > 0 { write!(f, "x{group:03}/")? } else { write!(f, "{group:03}")? }
    }
    if width == FULL_WIDTH { Ok(()) } else { write!(f, ".p/{width}") }
}

fn parse_number(path: &str) -> Result<u64, TileError> {
    let mut value = 0_u64;
    let mut groups = path.split('/').peekable();
    let mut leading = true;
    while let Some(group) = groups.next() {
        let more = groups.peek().is_some();
        let digits = if more { group.strip_prefix('x').ok_or(TileError::Path)? } else { group };
        if digits.len() != 3 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(TileError::Path);
        }
        // A leading group of zeros is a second spelling, except for the number 0 itself.
        if leading && more && digits == "000" {
            return Err(TileError::Path);
        }
        leading = false;
        let group = digits.bytes().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
        value = value.checked_mul(1000).and_then(|value| value.checked_add(group)).ok_or(TileError::Path)?;
    }
    if value < text::DECIMAL_LIMIT { Ok(value) } else { Err(TileError::Path) }
}

fn parse_width(width: &str) -> Result<u16, TileError> {
    match text::decimal(width).map(u16::try_from) {
        Ok(Ok(width)) if (1..FULL_WIDTH).contains(&width) => Ok(width),
        _ => Err(TileError::Path),
    }
}
