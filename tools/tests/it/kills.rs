//! `kill -9` under load: every permit that was answered is in the log after the restart, and proves itself there.

use std::time::Duration;

use crate::house::{House, ok};
use crate::load::{all_there, under_load};

/// Fifty, or as many as `INTERLOCK_KILLS` says.
fn kills() -> usize {
    std::env::var("INTERLOCK_KILLS").map_or(50, |kills| kills.parse().unwrap())
}

#[test]
fn every_answered_permit_is_in_the_log_after_kill_9() {
    let house = House::new();
    house.publish("hello");
    let mut answered = 0;
    for round in 0..kills() {
        let server = house.serve();
        let allowed = under_load(&house, &server, |_| {
            // Another moment each round; what matters is that work is under way.
            std::thread::sleep(Duration::from_millis(20 + 23 * (round as u64 % 7)));
            assert!(std::process::Command::new("kill").args(["-KILL", &server.id()]).status().unwrap().success());
        });
        server.kill();
        let server = house.serve();
        all_there(&house, &server, &allowed, &format!("round {round}"));
        answered += allowed.len();
        server.kill();
    }
    assert!(answered > kills(), "only {answered} permits were answered: the test tested little");
    ok(["audit", &house.path("log"), "--vkey", &house.vkey]);
    println!("{} kills, {answered} answered permits, all in the log", kills());
}
