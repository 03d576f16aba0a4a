//! Content codings (RFC 9110 §8.4): which one an answer gets, and the coding itself.
//!
//! Guarantees: a client that says nothing gets `identity`; a coding leaves only if the client accepts it (§12.5.3, with weights, `*` and a
//! refused `identity`); where nothing is acceptable there is no answer. Compressed forms differ in their validators.
//! Does not: compress hashes or small answers, unless the client refuses them as they are.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};

use actix_web::http::header::{self, HeaderMap};
use actix_web::web::Bytes;

use super::answer::thousandths;

/// Answers below are not worth the headers.
const MIN_CODED: usize = 512;
/// Above, compression would hold up a worker's other requests for more than a few milliseconds and goes to another thread.
const INLINE: usize = 64 << 10;
/// zstd's own default: 64 KiB of records in a third of a millisecond.
const ZSTD_LEVEL: i32 = 3;
/// zlib's default: what others expect of gzip.
const GZIP_LEVEL: u32 = 6;

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

impl Coding {
    /// The token of `Content-Encoding`; none for bytes as they are.
    pub(super) fn token(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }

    /// What tells its validators from those of others. Another compressor or level is another number: a strong validator names bytes.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::Identity => "",
            Self::Gzip => ";gzip1",
            Self::Zstd => ";zstd1",
        }
    }

    /// The bytes in this coding.
    pub(super) async fn apply(self, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        if self == Self::Identity || bytes.len() <= INLINE {
            return self.compress(bytes);
        }
        let done = actix_web::web::block(move || self.compress(bytes)).await;
        done.map_err(|_| io::Error::other("no thread to compress on"))?
    }

    fn compress(self, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity => Ok(bytes),
            Self::Gzip => {
                let out = Vec::with_capacity(bytes.len() / 2);
                let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL));
                encoder.write_all(&bytes)?;
                encoder.finish()
            }
            Self::Zstd => zstd::bulk::compress(&bytes, ZSTD_LEVEL),
        }
    }
}

/// What an answer is made of, as far as compression goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matter {
    /// Text and records.
    Compressible,
    /// Hashes and signatures, or too little of anything.
    Dense,
}

impl Matter {
    /// Of a body that is known.
    pub(super) fn of(length: usize) -> Self {
        if length < MIN_CODED { Self::Dense } else { Self::Compressible }
    }
}

/// The coding for a client with these headers; `None` if it accepts none of ours.
pub(super) fn choose(headers: &HeaderMap, matter: Matter) -> Option<Coding> {
    let Some(given) = accepted(headers) else { return Some(Coding::Identity) };
    let named = |names: &[&str]| {
        given.iter().find(|(name, _)| names.iter().any(|other| name.eq_ignore_ascii_case(other))).map(|given| given.1)
    };
    let others = named(&["*"]);
    // Weight, then what compresses best; under `*` alone gzip comes before zstd, which fewer clients know.
    let mut best: Option<((u16, u8), Coding)> = None;
    for (coding, names, preference) in
        [(Coding::Zstd, &["zstd"][..], 3), (Coding::Gzip, &["gzip", "x-gzip"], 2), (Coding::Identity, &["identity"], 1)]
    {
        let explicit = named(names);
        let (weight, preference) = match (explicit.or(others), coding) {
            (Some(0), _) => continue,
            (Some(weight), Coding::Zstd) if explicit.is_none() => (weight, 0),
            (Some(weight), _) => (weight, preference),
            // Acceptable unless refused, but nobody asked for it.
            (None, Coding::Identity) => (0, preference),
            (None, _) => continue,
        };
        let rank = match (matter, coding) {
            (Matter::Dense, Coding::Identity) => (u16::MAX, preference),
            _ => (weight, preference),
        };
        if best.is_none_or(|(other, _)| rank > other) {
            best = Some((rank, coding));
        }
    }
    best.map(|(_, coding)| coding)
}

/// The weight in thousandths that a client gives to a coding by its name; `None` if it does not name it.
pub(super) fn weight(headers: &HeaderMap, name: &str) -> Option<u16> {
    accepted(headers)?.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|given| given.1)
}

/// The codings that a client names, each with its weight; `None` if it says nothing at all.
fn accepted(headers: &HeaderMap) -> Option<Vec<(&str, u16)>> {
    let mut lines = headers.get_all(header::ACCEPT_ENCODING).peekable();
    lines.peek()?;
    let mut given = Vec::new();
    for line in lines {
        // A line that is no text names nothing; the others still count.
        for item in line.to_str().unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let mut parts = item.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            given.push((name, weight.map_or(1000, thousandths)));
        }
    }
    Some(given)
}

/// Compressed forms of immutable answers, for one worker.
#[derive(Debug, Default)]
pub(super) struct Cache(RefCell<Kept>);

/// All workers together keep twice this: some hundred bundles each.
const CACHE_BYTES: usize = 8 << 20;
/// A larger form would push out too many others.
const CACHE_ITEM: usize = 512 << 10;

#[derive(Debug, Default)]
struct Kept {
    forms: HashMap<(String, Coding), Bytes>,
    order: VecDeque<(String, Coding)>,
    bytes: usize,
}

impl Cache {
    /// A form that was kept.
    pub(super) fn get(&self, path: &str, coding: Coding) -> Option<Bytes> {
        self.0.borrow().forms.get(&(path.to_owned(), coding)).cloned()
    }

    /// Keeps a form; the oldest ones make room.
    pub(super) fn put(&self, path: &str, coding: Coding, form: &Bytes) {
        let mut kept = self.0.borrow_mut();
        let key = (path.to_owned(), coding);
        if form.len() > CACHE_ITEM || kept.forms.contains_key(&key) {
            return;
        }
        kept.bytes += form.len();
        kept.order.push_back(key.clone());
        kept.forms.insert(key, form.clone());
        while kept.bytes > CACHE_BYTES {
            let Some(oldest) = kept.order.pop_front() else { return };
            kept.bytes -= kept.forms.remove(&oldest).map_or(0, |form| form.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn chosen(lines: &[&str], matter: Matter) -> Option<Coding> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::ACCEPT_ENCODING, HeaderValue::from_str(line).unwrap());
        }
        choose(&headers, matter)
    }

    #[test]
    fn the_client_chooses_the_coding() {
        use Coding::{Gzip, Identity, Zstd};
        for (line, wanted, dense) in [
            ("", Some(Identity), Some(Identity)),
            ("gzip", Some(Gzip), Some(Identity)),
            ("x-gzip", Some(Gzip), Some(Identity)),
            ("GZIP", Some(Gzip), Some(Identity)),
            ("zstd", Some(Zstd), Some(Identity)),
            ("gzip, zstd", Some(Zstd), Some(Identity)),
            ("gzip, deflate, br, zstd", Some(Zstd), Some(Identity)),
            ("gzip;q=1, zstd;q=0.9", Some(Gzip), Some(Identity)),
            ("gzip;q=0.5, identity;q=1", Some(Identity), Some(Identity)),
            ("gzip;q=0.5, identity;q=0.4", Some(Gzip), Some(Identity)),
            ("gzip ; q=0.5 , zstd ; Q=0.6", Some(Zstd), Some(Identity)),
            ("gzip;q=0", Some(Identity), Some(Identity)),
            ("br", Some(Identity), Some(Identity)),
            ("*", Some(Gzip), Some(Identity)),
            ("*;q=0.1, zstd;q=0.2", Some(Zstd), Some(Identity)),
            ("*, gzip;q=0", Some(Identity), Some(Identity)),
            ("gzip;q=1.5", Some(Identity), Some(Identity)),
            ("gzip;q=nonsense", Some(Identity), Some(Identity)),
            (",,gzip,", Some(Gzip), Some(Identity)),
            // A client that cannot read bytes as they are gets them in a coding, or nothing.
            ("identity;q=0, gzip", Some(Gzip), Some(Gzip)),
            ("identity;q=0, *", Some(Gzip), Some(Gzip)),
            ("*;q=0, zstd", Some(Zstd), Some(Zstd)),
            ("*;q=0, identity;q=0.1", Some(Identity), Some(Identity)),
            ("identity;q=0", None, None),
            ("*;q=0", None, None),
            ("identity;q=0, br", None, None),
        ] {
            assert_eq!(chosen(&[line], Matter::Compressible), wanted, "`{line}`");
            assert_eq!(chosen(&[line], Matter::Dense), dense, "`{line}` for what is dense");
        }
        assert_eq!(chosen(&[], Matter::Compressible), Some(Identity), "no header is no wish");
        assert_eq!(chosen(&["gzip;q=0.1", "zstd;q=0.2"], Matter::Compressible), Some(Zstd), "two lines are one list");
    }

    #[test]
    fn a_cache_forgets_the_oldest_beyond_its_bytes() {
        let cache = Cache::default();
        let form = Bytes::from(vec![0; CACHE_ITEM]);
        let most = CACHE_BYTES / CACHE_ITEM;
        for number in 0..=most {
            cache.put(&number.to_string(), Coding::Gzip, &form);
            cache.put(&number.to_string(), Coding::Gzip, &form);
        }
        assert_eq!(cache.get("0", Coding::Gzip), None);
        assert!(cache.get("1", Coding::Gzip).is_some() && cache.get("1", Coding::Zstd).is_none());
        assert_eq!(cache.0.borrow().bytes, CACHE_BYTES);
        cache.put("large", Coding::Gzip, &Bytes::from(vec![0; CACHE_ITEM + 1]));
        assert_eq!(cache.get("large", Coding::Gzip), None);
    }
}
