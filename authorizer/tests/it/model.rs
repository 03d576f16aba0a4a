//! The queue and its wake-ups under every interleaving of a few threads, by loom: the very file of the library, over lanes, counters and a
//! sleeper that loom watches.
//!
//! A sleep here has no end of its own: where a wake-up is lost, nobody goes on, and loom says so. Does not: look into a lane (crossbeam's
//! `ArrayQueue`); one lane here is a bounded list under a lock.

// As in the library, where these two stand side by side.
#[path = "../../src/queue.rs"]
#[expect(dead_code, reason = "the model asks for less than the service")]
mod queue;
mod sync;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use queue::{Bounds, Load, Queue, Refused};
use std::time::Duration;

const ONE: Load = Load { decisions: 1, bytes: 1 };

/// Tries every interleaving with at most three preemptions: more are as rare as they are many.
fn every_interleaving(of: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(of);
}

/// What is handed over, with what becomes of it.
#[derive(Debug)]
struct Work {
    answered: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

impl Work {
    fn answer(self) {
        self.answered.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Work {
    /// A caller whose work is dropped learns that there is no answer; of answered work it is the end.
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

fn queue<P, A>(bodies: usize) -> Arc<Queue<P, A>> {
    Arc::new(Queue::new(Bounds { bodies, decisions: 8, bytes: 8 }))
}

#[test]
fn no_wake_up_is_lost_and_whatever_is_pushed_arrives_once() {
    every_interleaving(|| {
        let queue = queue::<u32, u32>(2);
        let proposer = queue.clone();
        let proposer = thread::spawn(move || proposer.push(1, ONE).unwrap());
        let governor = queue.clone();
        let governor = thread::spawn(move || governor.push_act(2).unwrap());
        // As the sequencer's turns.
        let (mut acts, mut proposals) = (0, 0);
        loop {
            while queue.pop_act().is_some() {
                acts += 1;
            }
            while queue.pop().is_some() {
                queue.release(ONE);
                proposals += 1;
            }
            if acts + proposals == 2 {
                break;
            }
            queue.wait(Duration::MAX);
        }
        proposer.join().unwrap();
        governor.join().unwrap();
        assert_eq!((acts, proposals, queue.decisions()), (1, 1, 0));
        assert!(queue.pop().is_none() && queue.pop_act().is_none());
    });
}

#[test]
fn a_close_wakes_the_consumer() {
    every_interleaving(|| {
        let queue = queue::<u32, u32>(1);
        let closer = queue.clone();
        let closer = thread::spawn(move || closer.close());
        while !queue.is_closed() {
            queue.wait(Duration::MAX);
        }
        closer.join().unwrap();
    });
}

#[test]
fn whatever_was_pushed_around_a_close_is_answered_or_dropped_once_and_nothing_stays_behind() {
    every_interleaving(|| {
        let queue = queue::<Work, Work>(2);
        let (answered, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let producers: Vec<_> = [false, true]
            .into_iter()
            .map(|governs| {
                let queue = queue.clone();
                let work = Work { answered: answered.clone(), dropped: dropped.clone() };
                thread::spawn(move || {
                    let pushed = if governs { queue.push_act(work) } else { queue.push(work, ONE) };
                    assert!(matches!(pushed, Ok(()) | Err(Refused::Closed)), "there is room");
                })
            })
            .collect();
        // One turn, then the end.
        queue.pop_act().into_iter().for_each(Work::answer);
        queue.pop().into_iter().for_each(Work::answer);
        queue.close();
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        assert!(queue.pop().is_none() && queue.pop_act().is_none(), "somebody waits for a sequencer that has ended");
        assert_eq!(dropped.load(Ordering::SeqCst), 2, "each is gone, once");
        assert!(answered.load(Ordering::SeqCst) <= 2);
    });
}

#[test]
fn no_more_bodies_than_the_bound_are_ever_in_and_all_room_is_given_back() {
    every_interleaving(|| {
        let queue = queue::<u32, u32>(1);
        let producers: Vec<_> = (0..2)
            .map(|n| {
                let queue = queue.clone();
                thread::spawn(move || queue.push(n, ONE).is_ok())
            })
            .collect();
        let mut taken = usize::from(queue.pop().is_some());
        if taken == 1 {
            queue.release(ONE);
        }
        let accepted = producers.into_iter().map(|producer| usize::from(producer.join().unwrap())).sum::<usize>();
        assert!(accepted >= 1, "an empty queue refused everybody");
        let left = std::iter::from_fn(|| queue.pop()).inspect(|_| queue.release(ONE)).count();
        assert!(left <= 1, "{left} bodies where one has room");
        taken += left;
        assert_eq!((taken, queue.decisions()), (accepted, 0));
        assert!(queue.has_room());
    });
}
