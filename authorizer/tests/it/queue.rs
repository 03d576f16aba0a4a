//! The queue by its interface: bounds, lanes, closing, and many real threads. Every interleaving of a few: `model.rs`.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use authorizer::queue::{Bounds, Load, Queue, Refused};

const ONE: Load = Load { decisions: 1, bytes: 100 };

fn small() -> Queue<u32, u32> {
    Queue::new(Bounds { bodies: 4, decisions: 6, bytes: 1_000 })
}

#[test]
fn every_bound_refuses_and_gives_the_value_back() {
    let queue = small();
    for n in 0..4 {
        assert_eq!(queue.push(n, ONE), Ok(()));
    }
    assert!(!queue.has_room());
    assert_eq!(queue.push(9, ONE), Err(Refused::Full(9)));
    let queue = small();
    assert_eq!(queue.push(1, Load { decisions: 5, bytes: 1 }), Ok(()));
    assert_eq!(queue.push(2, Load { decisions: 2, bytes: 1 }), Err(Refused::Full(2)));
    assert_eq!(queue.push(3, Load { decisions: 1, bytes: 1_000 }), Err(Refused::Full(3)));
    assert_eq!(queue.push(4, Load { decisions: 1, bytes: 999 }), Ok(()));
}

#[test]
fn what_was_popped_counts_until_it_is_answered() {
    let queue = small();
    for n in 0..4 {
        queue.push(n, ONE).unwrap();
    }
    assert_eq!(queue.pop(), Some(0));
    assert_eq!(queue.push(9, ONE), Err(Refused::Full(9)));
    queue.release(ONE);
    assert_eq!(queue.push(9, ONE), Ok(()));
}

#[test]
fn a_full_queue_of_proposals_leaves_the_governance_lane_open() {
    let queue = small();
    for n in 0..4 {
        queue.push(n, ONE).unwrap();
    }
    assert_eq!(queue.push_act(7), Ok(()));
    assert_eq!(queue.pop_act(), Some(7));
}

#[test]
fn nothing_stays_in_a_closed_queue() {
    let queue = small();
    queue.push(1, ONE).unwrap();
    queue.push_act(1).unwrap();
    queue.close();
    assert_eq!(queue.pop(), None);
    assert_eq!(queue.pop_act(), None);
    assert_eq!(queue.push(2, ONE), Err(Refused::Closed));
    assert_eq!(queue.push_act(2), Err(Refused::Closed));
    assert!(!queue.has_room());
}

#[test]
fn every_pushed_value_wakes_the_consumer_and_arrives_once() {
    let queue: Arc<Queue<u32, u32>> = Arc::new(Queue::new(Bounds::default()));
    let producers: Vec<_> = (0..4_u32)
        .map(|p| {
            let queue = queue.clone();
            thread::spawn(move || {
                for n in 0..2_000 {
                    while queue.push(p * 10_000 + n, Load { decisions: 1, bytes: 1 }).is_err() {
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let mut seen = Vec::new();
    while seen.len() < 8_000 {
        while let Some(n) = queue.pop() {
            queue.release(Load { decisions: 1, bytes: 1 });
            seen.push(n);
        }
        // Far longer than the test may take: only a wake-up ends the sleep in time.
        if seen.len() < 8_000 {
            queue.wait(Duration::from_secs(600));
        }
    }
    producers.into_iter().for_each(|p| p.join().unwrap());
    for p in 0..4 {
        let of_one: Vec<u32> = seen.iter().copied().filter(|n| n / 10_000 == p).collect();
        assert!(of_one.is_sorted(), "first come, first served for one producer");
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 8_000);
}
