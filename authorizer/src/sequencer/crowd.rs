//! Why: what a batch costs, three syncs, it costs whatever is in it, and who were answered lately come again in a moment. A little patience
//! makes a few batches of many small ones, and leaves the processors to those who ask.
//!
//! Guarantees: governance waits for one look at most; nobody waits for more bodies than a recent batch answered, nor longer than [`LOOKS`]
//! times [`LOOK`]; fewer than [`CROWD`] wait for nobody. Does not: decide what is in a batch.

use std::time::Duration;

use super::Sequencer;

/// So many bodies answered by one batch are a crowd.
const CROWD: usize = 16;
/// How often it is looked whether the crowd is there again: the longest that governance waits for it.
const LOOK: Duration = Duration::from_micros(250);
/// After so many looks nobody else is waited for: about twice as long as the syncs of a small batch, which are saved.
const LOOKS: u32 = 6;

/// Bodies that a recent batch answered at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Crowd(usize);

impl Crowd {
    /// A batch has answered so many. One small batch does not make a crowd forgotten: an eighth goes with each.
    fn answered(&mut self, bodies: usize) {
        self.0 = bodies.max(self.0 - self.0 / 8);
    }

    /// Whether nobody else is waited for where so many wait.
    fn is_there(self, waiting: usize) -> bool {
        self.0 < CROWD || waiting >= self.0
    }
}

impl Sequencer {
    /// Waits until the crowd is there again.
    pub(super) fn gather(&mut self) {
        self.crowd.answered(self.answered);
        let queue = &self.shared.queue;
        for _ in 0..LOOKS {
            if queue.has_acts() || self.crowd.is_there(queue.waiting()) {
                return;
            }
            std::thread::sleep(LOOK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_wait_for_nobody() {
        let mut crowd = Crowd::default();
        assert!(crowd.is_there(0));
        crowd.answered(CROWD - 1);
        assert!(crowd.is_there(0));
    }

    #[test]
    fn a_crowd_is_waited_for_until_it_is_there_also_behind_a_small_batch() {
        let mut crowd = Crowd::default();
        crowd.answered(200);
        assert!(!crowd.is_there(199) && crowd.is_there(200));
        crowd.answered(1);
        assert!(!crowd.is_there(174) && crowd.is_there(175));
        crowd.answered(300);
        assert!(!crowd.is_there(299));
    }

    #[test]
    fn a_crowd_that_stays_away_is_forgotten() {
        let mut crowd = Crowd::default();
        crowd.answered(4_096);
        let batches = std::iter::repeat_with(|| crowd.answered(1)).take(64).count();
        assert!(crowd.is_there(0), "after {batches} batches {crowd:?} is waited for");
    }
}
