//! What a process takes: CPU time of its threads, and memory, as Linux counts them.

use std::io;
use std::time::Duration;

/// CPU time so far of all threads of this process but the calling one, which sends the load.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn of_other_threads() -> io::Result<Duration> {
    let own = std::fs::read_link("/proc/thread-self")?;
    let own = own.file_name().map(std::ffi::OsStr::to_owned);
    let mut nanoseconds = 0;
    for thread in std::fs::read_dir("/proc/self/task")? {
        let thread = thread?;
        if Some(thread.file_name()) == own {
            continue;
        }
        // One that has just ended had done its part before.
        let said = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        nanoseconds += said.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Resident memory now, bytes.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn resident() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("no VmRSS"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_of_another_thread_counts_and_ones_own_does_not() {
        let before = of_other_threads().unwrap();
        let worker = std::thread::spawn(|| {
            let begun = std::time::Instant::now();
            while begun.elapsed() < Duration::from_millis(50) {}
            std::thread::park();
        });
        std::thread::sleep(Duration::from_millis(100));
        let after = of_other_threads().unwrap();
        worker.thread().unpark();
        worker.join().unwrap();
        assert!(after > before);
        assert!(resident().unwrap() > 1 << 20);
    }
}
