//! Mutations of valid encodings, for decoders: seeded, so that every run tries the same bytes and a failure can be had again.
//!
//! Included by the tests of several crates with `#[path]`. A decoder is given as a function from bytes to what its value encodes to; it may
//! refuse, but it may not panic, and what it accepts must come back byte for byte. `INTERLOCK_MUTATIONS` is the number of mutants a decoder,
//! 20,000 without it. What this does not do: look at coverage. It reaches deep because it begins with valid encodings.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Mutants a decoder unless the environment says otherwise.
const MUTANTS: u64 = 20_000;
/// Mutants may grow, but not beyond this: decoders are asked about their limits by name, not by waiting.
const LONGEST: usize = 1 << 17;

/// What became of the mutants of one decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    pub accepted: u64,
    pub refused: u64,
}

/// Gives mutants of `corpus` to `decode`, which answers the bytes that the value it read encodes to, or `None` if it refuses. Each member
/// of the corpus must be accepted as it is. `mend` may put checksums right, so that mutants get past them; every second one is mended.
pub fn mutate(
    name: &str,
    corpus: &[Vec<u8>],
    mend: impl Fn(&mut [u8]),
    decode: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Tried {
    for (number, valid) in corpus.iter().enumerate() {
        assert_eq!(decode(valid).as_ref(), Some(valid), "{name}: member {number} of the corpus does not come back");
    }
    let mutants = std::env::var("INTERLOCK_MUTATIONS").map_or(MUTANTS, |text| text.parse().expect("a number"));
    let seed = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |seed: u64, byte| (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let mut random = Random(seed);
    let mut tried = Tried { accepted: 0, refused: 0 };
    for number in 0..mutants {
        let mut bytes = corpus[random.below(corpus.len())].clone();
        for _ in 0..=random.below(4) {
            one_mutation(&mut bytes, corpus, &mut random);
        }
        bytes.truncate(LONGEST);
        if number % 2 == 0 {
            mend(&mut bytes);
        }
        match catch_unwind(AssertUnwindSafe(|| decode(&bytes))) {
            Ok(None) => tried.refused += 1,
            Ok(Some(again)) => {
                assert!(
                    again == bytes,
                    "{name}, mutant {number}: accepted and written in another way: {}",
                    shown(&bytes)
                );
                tried.accepted += 1;
            }
            Err(_) => panic!("{name}, mutant {number}: the decoder panicked at {}", shown(&bytes)),
        }
    }
    assert_eq!(tried.accepted + tried.refused, mutants);
    assert!(tried.refused > 0, "{name}: everything was accepted");
    println!("{name}: {tried:?}");
    tried
}

/// For formats without a checksum.
pub fn as_it_is(_: &mut [u8]) {}

fn one_mutation(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    let len = bytes.len();
    let at = random.below(len + 1);
    let run = random.below(17).min(len - at);
    match random.below(11) {
        _ if len == 0 => bytes.push(random.byte()),
        0 | 1 if at < len => bytes[at] ^= 1 << random.below(8),
        2 if at < len => bytes[at] = random.byte(),
        3 => bytes.truncate(at),
        4 => {
            bytes.drain(at..at + run);
        }
        5 => {
            let extra: Vec<u8> = (0..random.below(9)).map(|_| random.byte()).collect();
            bytes.splice(at..at, extra);
        }
        6 => {
            // The same again: repeated fields, lines, signatures.
            let again = bytes[at..at + run].to_vec();
            bytes.splice(at..at, again);
        }
        7 => {
            // The head of one and the tail of another.
            let other = &corpus[random.below(corpus.len())];
            let from = random.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        8 => {
            // Something that may be a length, of two, four or eight bytes.
            let value = random.number();
            let width = [2, 4, 8][random.below(3)];
            if at + width <= len {
                bytes[at..at + width].copy_from_slice(&value.to_be_bytes()[8 - width..]);
            }
        }
        9 => {
            // A number in a text.
            let digits = bytes.iter().skip(at).position(u8::is_ascii_digit).map(|first| {
                let first = at + first;
                first..first + bytes[first..].iter().take_while(|byte| byte.is_ascii_digit()).count()
            });
            if let Some(digits) = digits {
                bytes.splice(digits, random.number().to_string().into_bytes());
            }
        }
        _ if at < len => {
            // One of the bytes that mean something in CBOR, JSON, notes and paths.
            const KNOWN: &[u8] =
                b"\x00\x18\x19\x1a\x1b\x1f\x20\x40\x5f\x60\x80\x9f\xa0\xc0\xd2\xf6\xff\n \"{}[],:/+-=x0\xe2\\";
            bytes[at] = KNOWN[random.below(KNOWN.len())];
        }
        _ => {}
    }
}

/// At most 2 KiB of a mutant: enough to see what it is, and the number tells it again.
fn shown(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().take(1024).map(|byte| format!("{byte:02x}")).collect();
    format!("{hex} ({} bytes)", bytes.len())
}

/// `SplitMix64`: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    /// A number near a border, or any.
    fn number(&mut self) -> u64 {
        let border = [0, 1, 23, 24, 255, 256, 65_535, 65_536, 1 << 24, u64::from(u32::MAX), 1 << 53, 1 << 63, u64::MAX];
        match self.below(3) {
            0 => border[self.below(border.len())].wrapping_add(self.next() % 3).wrapping_sub(1),
            1 => self.next() >> self.below(64),
            _ => self.next() % 300,
        }
    }
}
