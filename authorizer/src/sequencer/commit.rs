//! What is in the batch becomes durable; then, and only then, everybody in it is answered.

use std::sync::Arc;

use ledger::Head;

use super::{Fault, Sequencer, Waiting};
use crate::execution::{self, Followed};
use crate::proposal::{Durable, Reply};
use crate::queue::Load;
use crate::stages::{Since, Stage};
use crate::statement::{Answer, Stated};
use crate::traces::{Shares, Trace};

impl Sequencer {
    /// Makes everything in the batch durable, then answers.
    pub(super) fn commit(&mut self) -> Result<(), Fault> {
        // A crash before `append` returns: nobody was answered; what recovery finds of the frame is not a promise.
        let (head, shares) = if self.batch.is_empty() {
            (self.shared.reader.head(), None)
        } else {
            let (_, head, shares) = self.append_timed()?;
            (head, Some(shares))
        };
        if let Some((index, snapshot)) = self.unsaved.take() {
            self.saver.save(index, snapshot);
        }
        let share = |trace: Option<Arc<Trace>>| {
            trace.zip(shares).into_iter().for_each(|(trace, shares)| shares.give(&trace));
        };
        self.answered = self.waiting.len();
        let live = self.shared.live.load();
        // A crash from here on: the records stand, and a retry under an idempotency key finds them.
        for waiting in self.waiting.drain(..) {
            match waiting {
                Waiting::Decisions { items, load, reply, trace } => {
                    share(trace);
                    self.shared.queue.release(load);
                    self.shared.metrics.decided(&items);
                    self.shared.doubles.offer(&live, &self.shared.metrics, &items);
                    // A caller that went away has no permit; its record stays.
                    let _ = reply.send(Reply::Durable(Durable::new(items, head.clone())));
                }
                Waiting::Statement { index, record, load, reply, trace } => {
                    share(trace);
                    self.shared.queue.release(load);
                    let _ = reply.send(Answer::Durable(Stated::new(index, record, head.clone())));
                }
                Waiting::Event { index, record, codes, realm, load, reply, trace } => {
                    share(trace);
                    self.shared.queue.release(load);
                    self.shared.notices.tell_of(realm, &record);
                    let followed = Followed::new(index, record, codes, head.clone());
                    let _ = reply.send(execution::Answer::Durable(followed));
                }
                Waiting::Look { present, reply } => {
                    let _ = reply.send(present);
                }
                Waiting::Survey { states, reply } => {
                    let _ = reply.send(states);
                }
            }
        }
        self.lapsed.drain(..).for_each(|notice| self.shared.notices.tell(notice));
        self.batch_load = Load::default();
        Ok(())
    }

    /// Appends the batch; returns the index of its first record.
    pub(super) fn append(&mut self) -> Result<(u64, Arc<Head>), Fault> {
        let (first, head, shares) = self.append_timed()?;
        self.appended.iter_mut().for_each(|appended| appended.push(shares));
        Ok((first, head))
    }

    /// As [`Sequencer::append`], with what it took.
    fn append_timed(&mut self) -> Result<(u64, Arc<Head>, Shares), Fault> {
        let expected = self.ledger.size();
        let (metrics, decisions) = (&self.shared.metrics, self.batch_load.decisions);
        let (stager, committer) = self.ledger.split();
        let since = Since::now();
        let staged = stager.stage(&self.batch, self.fold.last_ms)?;
        let hashed = since.spent();
        let (appended, _) = committer.commit(staged)?;
        appended.syncs.each(|file, took| metrics.synced(file, took));
        let spent = since.spent();
        let committed = spent.without(hashed);
        metrics.sequenced(spent.wall);
        metrics.committed(committed.wall);
        if decisions > 0 {
            metrics.stages.add(Stage::Hash, decisions, hashed);
            metrics.stages.add(Stage::Commit, decisions, committed);
        }
        let entries = self.batch.len() as u64;
        let shares = Shares { since: since.when(), hashed: hashed.wall, committed: committed.wall, entries };
        self.batch.clear();
        if appended.first != expected {
            return Err(Fault::Index { got: appended.first, expected });
        }
        self.shared.recorded(self.fold.last_ms);
        Ok((expected, appended.head, shares))
    }
}
