//! An export's form: members one after the other, each with a digest that covers all before.
//!
//! ```text
//! 8   magic "ILEXPRT1"
//! then for each member
//!     2   length of the name
//!     n   name: `log.toml`, `head`, `journal/<first index, 20 digits>.seg` or `.sealed`, `vault/<first index>.seg`; last `end`
//!     8   length of the content
//!     m   content
//!    32   SHA-256 of the digest before (the magic's SHA-256 for the first) and of all of this member up to here
//! ```
//!
//! `log.toml` and the journal's and vault's files are those of a log's directory (the last segment of each ends with the head), `head` is the
//! last signed head, a note. The content of `end` is empty, and nothing follows it. Numbers are big-endian.
//!
//! Guarantees: a file that was cut, changed, reordered or joined with another is refused at the first member that shows it. Does not: say
//! who wrote it; the head's signature does.

use std::io::{ErrorKind, Read, Write};

use sha2::{Digest, Sha256};
use verifier::hash::{Hash, sha256};

use super::{CHUNK, Sink, TransferError};

const MAGIC: &[u8; 8] = b"ILEXPRT1";
/// The member that nothing follows.
const END: &str = "end";
/// The longest name is `journal/` and 27 bytes.
const MAX_NAME: usize = 64;

/// What is wrong with a file that should be an export.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It begins otherwise.
    #[error("it does not begin as an export does")]
    Magic,
    /// It ends within a member.
    #[error("it is cut off")]
    CutOff,
    /// A member's digest is not that of what stands there.
    #[error("member `{0}` is changed, or does not belong here")]
    Digest(String),
    /// A name that no member has, or not at this place.
    #[error("member `{0}` is not known or stands in the wrong place")]
    Name(String),
    /// Longer than such a member may be.
    #[error("member `{0}` is longer than it may be")]
    TooLong(String),
    /// Something follows the end.
    #[error("something follows its end")]
    Trailing,
    /// Without these there is no log.
    #[error("`log.toml`, `head` or the journal is missing")]
    Incomplete,
}

/// Writes members.
pub(super) struct Writer<'a> {
    out: &'a mut dyn Write,
    sha: Sha256,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Result<Self, TransferError> {
        out.write_all(MAGIC).map_err(TransferError::Stream)?;
        Ok(Self { out, sha: chained(&sha256(MAGIC)) })
    }

    /// The end; the caller makes the file durable.
    pub(super) fn finish(mut self) -> Result<(), TransferError> {
        self.begin(END, 0)?;
        self.end()?;
        self.out.flush().map_err(TransferError::Stream)
    }
}

impl Sink for Writer<'_> {
    fn begin(&mut self, name: &str, len: u64) -> Result<(), TransferError> {
        // Every name is ours, and short.
        let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
        for part in [&length.to_be_bytes()[..], name.as_bytes(), &len.to_be_bytes()] {
            self.write(part)?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        self.sha.update(bytes);
        self.out.write_all(bytes).map_err(TransferError::Stream)
    }

    fn end(&mut self) -> Result<(), TransferError> {
        let digest = Hash(self.sha.finalize_reset().into());
        self.sha = chained(&digest);
        self.out.write_all(&digest.0).map_err(TransferError::Stream)
    }
}

/// Reads all members into a sink; nothing is told as whole before its digest is right.
pub(super) fn read(input: &mut dyn Read, sink: &mut dyn Sink) -> Result<(), TransferError> {
    let magic: [u8; 8] = take(input).map_err(|error| match error {
        TransferError::Malformed(Malformed::CutOff) => Malformed::Magic.into(),
        other => other,
    })?;
    if magic != *MAGIC {
        return Err(Malformed::Magic.into());
    }
    let mut before = sha256(MAGIC);
    let mut buffer = vec![0; CHUNK];
    loop {
        let mut sha = chained(&before);
        let length: [u8; 2] = take(input)?;
        let name_len = usize::from(u16::from_be_bytes(length));
        let mut name = vec![0; name_len.min(MAX_NAME)];
        fill(input, &mut name)?;
        let shown = String::from_utf8_lossy(&name).into_owned();
        let name = String::from_utf8(name).ok().filter(|_| name_len <= MAX_NAME);
        let name = name.filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()));
        let name = name.ok_or(Malformed::Name(shown))?;
        let len: [u8; 8] = take(input)?;
        for part in [&length[..], name.as_bytes(), &len] {
            sha.update(part);
        }
        let mut left = u64::from_be_bytes(len);
        let ends = name == END;
        if ends && left > 0 {
            return Err(Malformed::TooLong(name).into());
        }
        if !ends {
            sink.begin(&name, left)?;
        }
        while left > 0 {
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK);
            let chunk = buffer.get_mut(..count).unwrap_or_default();
            fill(input, chunk)?;
            sha.update(&chunk);
            sink.write(chunk)?;
            left -= count as u64;
        }
        let digest = Hash(take(input)?);
        if Hash(sha.finalize().into()) != digest {
            return Err(Malformed::Digest(name).into());
        }
        if ends {
            break;
        }
        sink.end()?;
        before = digest;
    }
    let mut one = [0];
    match input.read(&mut one) {
        Ok(0) => Ok(()),
        Ok(_) => Err(Malformed::Trailing.into()),
        Err(error) => Err(TransferError::Stream(error)),
    }
}

fn chained(before: &Hash) -> Sha256 {
    Sha256::new().chain_update(before.0)
}

fn take<const N: usize>(input: &mut dyn Read) -> Result<[u8; N], TransferError> {
    let mut bytes = [0; N];
    fill(input, &mut bytes)?;
    Ok(bytes)
}

fn fill(input: &mut dyn Read, bytes: &mut [u8]) -> Result<(), TransferError> {
    input.read_exact(bytes).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => Malformed::CutOff.into(),
        _ => TransferError::Stream(error),
    })
}

/// An export of two members, for the format chapter.
#[cfg(test)]
pub(crate) fn sample() -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file).unwrap();
    for (name, content) in [("log.toml", b"one"), ("head", b"two")] {
        writer.begin(name, content.len() as u64).unwrap();
        writer.write(content).unwrap();
        writer.end().unwrap();
    }
    writer.finish().unwrap();
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what it is given.
    #[derive(Default)]
    struct Kept(Vec<(String, Vec<u8>)>, bool);

    impl Sink for Kept {
        fn begin(&mut self, name: &str, _: u64) -> Result<(), TransferError> {
            self.0.push((name.to_owned(), Vec::new()));
            Ok(())
        }

        fn write(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
            self.0.last_mut().unwrap().1.extend_from_slice(bytes);
            Ok(())
        }

        fn end(&mut self) -> Result<(), TransferError> {
            self.1 = true;
            Ok(())
        }
    }

    fn three() -> (Vec<(String, Vec<u8>)>, Vec<u8>) {
        let members: Vec<(String, Vec<u8>)> =
            vec![("log.toml".into(), b"one".to_vec()), ("head".into(), Vec::new()), ("c".into(), vec![7; 300])];
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file).unwrap();
        for (name, content) in &members {
            writer.begin(name, content.len() as u64).unwrap();
            content.chunks(128).for_each(|chunk| writer.write(chunk).unwrap());
            writer.end().unwrap();
        }
        writer.finish().unwrap();
        (members, file)
    }

    #[test]
    fn members_read_back_as_they_were_written() {
        let (members, file) = three();
        let mut kept = Kept::default();
        read(&mut file.as_slice(), &mut kept).unwrap();
        assert_eq!(kept.0, members);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let (_, file) = three();
        for bit in 0..file.len() * 8 {
            let mut flipped = file.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&mut flipped.as_slice(), &mut Kept::default()).is_err(), "bit {bit}");
        }
        for len in 0..file.len() {
            assert!(read(&mut &file[..len], &mut Kept::default()).is_err(), "cut at {len}");
        }
        let longer = [file.as_slice(), b"x"].concat();
        assert!(matches!(
            read(&mut longer.as_slice(), &mut Kept::default()),
            Err(TransferError::Malformed(Malformed::Trailing))
        ));
    }

    #[test]
    fn members_that_were_left_out_or_reordered_are_refused() {
        let (members, file) = three();
        let spans: Vec<(usize, usize)> = members
            .iter()
            .scan(8, |at, (name, content)| {
                let start = *at;
                *at += 2 + name.len() + 8 + content.len() + 32;
                Some((start, *at))
            })
            .collect();
        let end = spans[2].1;
        for order in [&[0, 2][..], &[1, 2], &[1, 0, 2], &[0, 2, 1], &[0, 1, 1, 2], &[]] {
            let mut other = file[..8].to_vec();
            order.iter().for_each(|n| other.extend_from_slice(&file[spans[*n].0..spans[*n].1]));
            other.extend_from_slice(&file[end..]);
            let result = read(&mut other.as_slice(), &mut Kept::default());
            assert!(matches!(result, Err(TransferError::Malformed(Malformed::Digest(_)))), "{order:?}");
        }
    }
}
