//! `kill -9` under load: every permit that was answered is in the log after the restart, and proves itself there.

use std::time::Duration;

use crate::house::{House, Server, ok};
use crate::load::{all_there, under_load};

/// Fifty, or as many as `INTERLOCK_KILLS` says.
fn kills() -> usize {
    std::env::var("INTERLOCK_KILLS").map_or(50, |kills| kills.parse().unwrap())
}

/// Decisions between two `state` records here.
const EVERY: u64 = 256;

#[test]
fn every_answered_permit_is_in_the_log_after_kill_9() {
    let house = House::new();
    house.publish("hello");
    let mut answered = 0;
    // Otherwise the log would be as long as a thousand rounds before the first of them.
    let (log, every) = (house.path("log"), EVERY.to_string());
    let serve = || Server::start(&log, &["--state-every", &every]);
    let mut folded = Vec::new();
    for round in 0..kills() {
        let server = serve();
        let allowed = under_load(&house, &server, |_| {
            // Another moment each round; what matters is that work is under way.
            std::thread::sleep(Duration::from_millis(20 + 23 * (round as u64 % 7)));
            assert!(std::process::Command::new("kill").args(["-KILL", &server.id()]).status().unwrap().success());
        });
        server.kill();
        let server = serve();
        folded.push(server.folded);
        all_there(&house, &server, &allowed, &format!("round {round}"));
        answered += allowed.len();
        server.kill();
    }
    assert!(answered > kills(), "only {answered} permits were answered: the test tested little");
    ok(["audit", &house.path("log"), "--vkey", &house.vkey]);
    // A start folds what follows the newest snapshot, however long the log is: at most what was written since, in a round or two.
    let of = |some: &[u64]| some.iter().sum::<u64>() / some.len().max(1) as u64;
    let (first, last) = (of(&folded[..folded.len() / 4]), of(&folded[folded.len() - folded.len() / 4..]));
    let most = folded.iter().max().copied().unwrap_or_default();
    println!(
        "{} kills, {answered} answered permits, all in the log; records folded at a start: {first} in the first quarter of the rounds, \
         {last} in the last, {most} at most",
        kills()
    );
    assert!(last < 4 * first.max(EVERY), "a start takes longer in a longer log: {folded:?}");
}
