//! Why: whoever has no key is told apart by the network that asks, and what it took is paid for by time.
//!
//! Guarantees: the arithmetic of a rate (GCRA) stands here once, and never overflows; what is remembered of networks has a bound, and those
//! beyond it share one debt, so that nobody is let in because the memory is full. Does not: read clocks, or know what is asked for; behind
//! a proxy all clients are one network.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Room is made among the remembered at most so often: it is a walk over all of them.
const SWEEP: Duration = Duration::from_secs(1);

/// So many at once, and one more each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How long one is paid for.
    pub every: Duration,
    /// How many may come at once.
    pub burst: u32,
}

impl Rate {
    /// Until when `amount` more is paid for, after what was paid until `paid`. More than a burst is taken where a whole burst is free, and
    /// then paid for as what it is.
    ///
    /// # Errors
    /// How long it has to wait.
    pub fn take(self, paid: Duration, now: Duration, amount: u32) -> Result<Duration, Duration> {
        let ahead = self.every.saturating_mul(self.burst.saturating_sub(amount.min(self.burst)));
        let wait = paid.saturating_sub(now.saturating_add(ahead));
        if wait.is_zero() { Ok(self.charge(paid, now, amount)) } else { Err(wait) }
    }

    /// The same for what was given already.
    #[must_use]
    pub fn charge(self, paid: Duration, now: Duration, amount: u32) -> Duration {
        paid.max(now).saturating_add(self.every.saturating_mul(amount))
    }
}

/// Until when each network has to pay.
#[derive(Debug)]
pub struct Debts {
    most: usize,
    each: HashMap<IpAddr, Duration>,
    /// Of all that there was no place for.
    crowd: Duration,
    swept: Duration,
}

impl Debts {
    /// With a place for so many.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, each: HashMap::new(), crowd: Duration::ZERO, swept: Duration::ZERO }
    }

    /// The debt of a [`network`], to be read and written.
    pub fn of(&mut self, network: IpAddr, now: Duration) -> &mut Duration {
        if !self.each.contains_key(&network) && self.each.len() >= self.most {
            if now.saturating_sub(self.swept) >= SWEEP {
                self.swept = now;
                self.each.retain(|_, paid| *paid > now);
            }
            if self.each.len() >= self.most {
                return &mut self.crowd;
            }
        }
        self.each.entry(network).or_default()
    }

    /// How many are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.each.len()
    }
}

/// One house has one IPv4 address, and a /64 of IPv6.
#[must_use]
pub fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        four @ IpAddr::V4(_) => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { every: Duration::from_millis(10), burst: 5 };

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn as_many_as_a_burst_come_at_once_and_then_one_each_time() {
        for start in [0, 7, 1_000] {
            let mut paid = Duration::ZERO;
            for _ in 0..RATE.burst {
                paid = RATE.take(paid, ms(start), 1).unwrap();
            }
            assert_eq!(RATE.take(paid, ms(start), 1), Err(RATE.every));
            assert_eq!(RATE.take(paid, ms(start + 9), 1), Err(ms(1)));
            paid = RATE.take(paid, ms(start + 10), 1).unwrap();
            assert_eq!(RATE.take(paid, ms(start + 10), 2), Err(ms(20)));
        }
    }

    #[test]
    fn what_is_dearer_than_a_burst_is_taken_when_nothing_is_owed_and_paid_for_in_full() {
        let paid = RATE.take(Duration::ZERO, ms(1_000), 50).unwrap();
        assert_eq!(paid, ms(1_500));
        assert_eq!(RATE.take(paid, ms(1_000), 1), Err(ms(460)));
        assert_eq!(RATE.take(paid, ms(1_499), 50), Err(ms(1)));
        assert!(RATE.take(paid, ms(1_500), 50).is_ok());
    }

    #[test]
    fn no_amount_and_no_time_overflows() {
        let (most, long) = (Duration::MAX, Rate { every: Duration::MAX, burst: u32::MAX });
        assert_eq!(long.charge(most, most, u32::MAX), most);
        assert_eq!(long.take(most, Duration::ZERO, u32::MAX), Err(most));
    }

    #[test]
    fn beyond_the_bound_networks_share_one_debt_until_others_have_paid() {
        let address = |n: u32| IpAddr::from((0xc000_0200 + n).to_be_bytes());
        let mut debts = Debts::new(100);
        for n in 0..100 {
            *debts.of(address(n), ms(5_000)) = ms(8_000);
        }
        *debts.of(address(500), ms(5_000)) = ms(9_000);
        for n in 101..10_000 {
            assert_eq!(*debts.of(address(n), ms(5_000)), ms(9_000), "the debt of another that has no place");
        }
        assert_eq!(debts.remembered(), 100);
        assert_eq!(*debts.of(address(7), ms(5_000)), ms(8_000), "whoever has a place keeps it");
        assert_eq!(*debts.of(address(600), ms(8_000)), Duration::ZERO, "those who have paid are forgotten");
        assert_eq!(debts.remembered(), 1);
    }

    #[test]
    fn a_house_has_many_addresses_of_ipv6_and_counts_once() {
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(network(one), network("2001:db8::ffff:1".parse().unwrap()));
        assert_ne!(network(one), network("2001:db8:0:1::1".parse().unwrap()));
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), IpAddr::from([192, 0, 2, 1]));
    }
}
