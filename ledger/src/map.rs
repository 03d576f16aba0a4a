//! Memory maps for reading, and all `unsafe` of this crate.
//!
//! Why: a proof reads some thirty 32-byte nodes at random places; through a map that costs a few nanoseconds each and no system call.
//!
//! A file grows while it is read, so it is mapped in windows that reach beyond its end: window 0 covers the first [`FIRST`] bytes,
//! each next one as much as all before it. A window never moves, so no reader ever waits for a writer, and 30 windows cover a
//! pebibyte. Pages beyond the end of the file exist only as addresses.
//!
//! Guarantees: no byte at or beyond the `end` that the caller names is touched (touching it would raise SIGBUS), no reference to
//! mapped memory is ever made: bytes are copied out through raw pointers.
//! Does not: map for writing. A full disk would then be a signal instead of an error, and msync was four times slower than
//! write + fdatasync on the development machine (DESIGN §6).

use std::fs::File;
use std::io;
use std::sync::OnceLock;

use memmap2::{MmapOptions, MmapRaw};

/// Bytes of the first window. Address space only: 4 MiB is 131,072 nodes.
const FIRST: u64 = 1 << 22;
/// How many windows there can be: 2^22 · 2^25 = 2^47 bytes is all the address space a process has.
const WINDOWS: usize = 26;

/// The windows of one file, mapped when they are first needed.
#[derive(Debug)]
pub(crate) struct Windows([OnceLock<MmapRaw>; WINDOWS]);

impl Default for Windows {
    fn default() -> Self {
        Self([const { OnceLock::new() }; WINDOWS])
    }
}

impl Windows {
    /// Copies `buffer.len()` bytes at `offset` out of `file`, of which at least `end` bytes exist.
    pub(crate) fn copy(&self, file: &File, end: u64, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let stop = offset.checked_add(buffer.len() as u64).ok_or(io::ErrorKind::UnexpectedEof)?;
        if stop > end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut at = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let number = window_of(at);
            let (start, len) = span(number);
            let inside = at - start;
            let count = usize::try_from(len - inside).unwrap_or(usize::MAX).min(rest.len());
            let window = self.window(number, file)?;
            let (now, later) = rest.split_at_mut(count);
            copy_out(window, inside, now)?;
            at += count as u64;
            rest = later;
        }
        Ok(())
    }

    fn window(&self, number: usize, file: &File) -> io::Result<&MmapRaw> {
        let slot = self.0.get(number).ok_or(io::ErrorKind::FileTooLarge)?;
        if let Some(window) = slot.get() {
            return Ok(window);
        }
        let (start, len) = span(number);
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let fresh = MmapOptions::new().offset(start).len(len).map_raw_read_only(file)?;
        Ok(slot.get_or_init(|| fresh))
    }
}

/// The window that holds the byte at `offset`.
fn window_of(offset: u64) -> usize {
    (u64::BITS - (offset / FIRST).leading_zeros()) as usize
}

/// First byte and length of a window.
fn span(number: usize) -> (u64, u64) {
    match number {
        0 => (0, FIRST),
        n => (FIRST << (n - 1), FIRST << (n - 1)),
    }
}

/// Copies out of a window. The caller has made sure that these bytes exist in the file.
fn copy_out(window: &MmapRaw, inside: u64, into: &mut [u8]) -> io::Result<()> {
    let inside = usize::try_from(inside).map_err(|_| io::ErrorKind::UnexpectedEof)?;
    let stop = inside.checked_add(into.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
    if stop > window.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // JUSTIFICATION: the only way to read mapped memory without a system call. A `&[u8]` over the window would promise the compiler
    // that the bytes never change, which is not so while the file grows; a copy through raw pointers promises nothing.
    // SAFETY: `inside + into.len() <= window.len()` was checked just above, so source stays inside one live mapping (`MmapRaw` unmaps
    // only when dropped, and we hold a reference). `into` is an exclusive Rust slice, so the two cannot overlap. The pages exist:
    // `Windows::copy` refused everything at or beyond `end`, `end` only names bytes that were in the file or that this process wrote,
    // and files are truncated only while the log is opened, through the handle that lowers `end` first. Bytes below `end` are not
    // written again while they may be read: writers only append, readers stay below the published size.
    unsafe {
        std::ptr::copy_nonoverlapping(window.as_ptr().add(inside), into.as_mut_ptr(), into.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn windows_follow_one_another_without_a_gap() {
        let mut next = 0;
        for number in 0..WINDOWS {
            let (start, len) = span(number);
            assert_eq!(start, next);
            assert_eq!(window_of(start), number);
            assert_eq!(window_of(start + len - 1), number);
            next = start + len;
        }
    }

    #[test]
    fn a_read_sees_what_was_written_after_the_window_was_mapped() {
        let file = tempfile::tempfile().unwrap();
        let windows = Windows::default();
        file.write_all_at(b"first", 0).unwrap();
        let mut five = [0; 5];
        windows.copy(&file, 5, 0, &mut five).unwrap();
        assert_eq!(&five, b"first");
        // Grows past the page, then past the window.
        for at in [4096, FIRST - 2, 3 * FIRST - 2] {
            file.write_all_at(b"later", at).unwrap();
            windows.copy(&file, at + 5, at, &mut five).unwrap();
            assert_eq!(&five, b"later", "at {at}");
        }
    }

    #[test]
    fn a_read_beyond_the_known_end_is_an_error_and_not_a_signal() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[7; 100], 0).unwrap();
        let windows = Windows::default();
        for (offset, len) in [(100, 1), (99, 2), (1 << 40, 1), (u64::MAX, 1)] {
            let error = windows.copy(&file, 100, offset, &mut vec![0; len]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
