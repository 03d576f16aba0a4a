//! Who may ask the sandbox now.
//!
//! Why: whoever asks has no key, and evaluating is work (threats 25, 33). Guarantees: at most [`MAX_AT_ONCE`] requests are inside, of one
//! address at most [`MAX_OF_ONE`], from before their body is read until they are answered; and they come no faster than two rates, one for
//! each address and one for all. What is remembered of addresses has a bound. Does not: know people; behind a proxy all have one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::rate::{Debts, Rate, network};

/// Requests inside at once: each has a body of 64 KiB at most and waits for one thread that takes milliseconds for it.
pub const MAX_AT_ONCE: usize = 16;
/// Requests of one address inside at once, so that one whose bodies are slow leaves room for others.
pub const MAX_OF_ONE: usize = 4;
/// All together: ten a second in the long run, fifty at once.
pub const OF_ALL: Rate = Rate { every: Duration::from_millis(100), burst: 50 };
/// One address: four a second in the long run, thirty at once. A person clicks less, a page with its buttons too.
pub const OF_ONE: Rate = Rate { every: Duration::from_millis(250), burst: 30 };
/// Addresses whose debts are remembered: those that asked within the last seconds. Those beyond it count as one.
const MAX_ADDRESSES: usize = 1_024;

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotIn {
    /// As many are inside as there is room for.
    Full,
    /// The address, or all together, asked too often; for so long.
    Often(Duration),
}

/// The door.
#[derive(Debug, Default)]
pub struct Admission(Mutex<State>);

#[derive(Debug)]
struct State {
    inside: HashMap<IpAddr, usize>,
    total: usize,
    /// Until when what was taken is paid for, by a clock that never steps.
    all: Duration,
    each: Debts,
}

impl Default for State {
    fn default() -> Self {
        Self { inside: HashMap::new(), total: 0, all: Duration::ZERO, each: Debts::new(MAX_ADDRESSES) }
    }
}

/// Somebody inside, until it is dropped.
#[derive(Debug)]
pub struct Inside {
    door: Arc<Admission>,
    who: IpAddr,
}

impl Admission {
    /// Lets one request in.
    ///
    /// # Errors
    /// [`NotIn`]; nothing was taken then.
    pub fn enter(self: &Arc<Self>, peer: IpAddr, now_ms: u64) -> Result<Inside, NotIn> {
        let who = network(peer);
        let mut state = self.state();
        let of_one = state.inside.get(&who).copied().unwrap_or(0);
        if state.total >= MAX_AT_ONCE || of_one >= MAX_OF_ONE {
            return Err(NotIn::Full);
        }
        let now = Duration::from_millis(now_ms);
        let all = OF_ALL.take(state.all, now, 1).map_err(NotIn::Often)?;
        let debt = state.each.of(who, now);
        *debt = OF_ONE.take(*debt, now, 1).map_err(NotIn::Often)?;
        state.all = all;
        state.total += 1;
        *state.inside.entry(who).or_default() += 1;
        Ok(Inside { door: self.clone(), who })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut state = self.door.state();
        state.total = state.total.saturating_sub(1);
        if let Some(count) = state.inside.get_mut(&self.who) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                state.inside.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    #[test]
    fn as_many_are_inside_as_there_is_room_for_and_one_address_has_a_part_of_it() {
        let door = Arc::new(Admission::default());
        let mut inside: Vec<_> = (0..MAX_OF_ONE).map(|_| door.enter(peer(1), 0).unwrap()).collect();
        assert_eq!(door.enter(peer(1), 0).unwrap_err(), NotIn::Full);
        for n in 2.. {
            if inside.len() == MAX_AT_ONCE {
                break;
            }
            inside.push(door.enter(peer(n), 0).unwrap());
        }
        assert_eq!(door.enter(peer(200), 0).unwrap_err(), NotIn::Full);
        inside.clear();
        assert!(door.enter(peer(200), 0).is_ok());
        assert!(door.state().inside.is_empty(), "nothing is remembered of who left");
    }

    #[test]
    fn an_address_that_asks_too_often_waits_and_others_do_not() {
        let door = Arc::new(Admission::default());
        let later = 1_000 + u64::try_from(OF_ONE.every.as_millis()).unwrap();
        for _ in 0..OF_ONE.burst {
            door.enter(peer(1), 1_000).unwrap();
        }
        assert_eq!(door.enter(peer(1), 1_000).unwrap_err(), NotIn::Often(OF_ONE.every));
        assert!(door.enter(peer(2), 1_000).is_ok());
        assert!(door.enter(peer(1), later).is_ok());
        assert!(door.enter(peer(1), later).is_err());
    }

    #[test]
    fn all_together_have_a_rate_too_and_what_is_remembered_has_a_bound() {
        let door = Arc::new(Admission::default());
        let let_in = |from: u32, now| {
            (from..from + 200).filter(|n| door.enter(IpAddr::from(n.to_be_bytes()), now).is_ok()).count()
        };
        assert_eq!(let_in(0, 0), OF_ALL.burst as usize);
        for round in 0..100 {
            let_in(round * 1_000, u64::from(round) * 200);
        }
        assert!(door.state().each.remembered() <= MAX_ADDRESSES);
    }
}
