//! What a key with a quota took, as its holder sees it: when each body was sent, when it was answered, how many records it asked for.

use super::calls::MOST_REQUESTS;

/// Records a second of the key that is limited.
pub const RECORDS_PER_SECOND: u32 = 2;
/// What is left unused is kept for so long.
const BURST_MS: u64 = 1_000;
/// Bodies that are looked at together.
const LOOKED_AT: usize = 64;

/// Bodies that were let in by one process.
#[derive(Default)]
pub struct Taken(Vec<Body>);

struct Body {
    sent_ms: u64,
    answered_ms: u64,
    records: u64,
}

impl Taken {
    /// A body was let in. In no stretch of time that it ends are there more than the key may take, one second's more, and the last body.
    pub fn took(&mut self, sent_ms: u64, answered_ms: u64, records: usize) {
        self.0.push(Body { sent_ms, answered_ms, records: records as u64 });
        let old = self.0.len().saturating_sub(LOOKED_AT);
        self.0.drain(..old);
        for Body { sent_ms: from, .. } in &self.0 {
            let within = |body: &&Body| body.sent_ms >= *from && body.answered_ms <= answered_ms;
            let records: u64 = self.0.iter().filter(within).map(|body| body.records).sum();
            let paid = (answered_ms - from + BURST_MS) * u64::from(RECORDS_PER_SECOND) / 1_000;
            assert!(
                records <= paid + MOST_REQUESTS,
                "a key that may take {RECORDS_PER_SECOND} records a second took {records} in {} ms",
                answered_ms - from
            );
        }
    }
}
