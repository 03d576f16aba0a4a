//! Why: whoever asks the public listener has no key, and some answers are a thousand times the work of others (threat 33).
//!
//! A unit is about what a tile costs. A request has the price of its path, paid before any work is done, and a unit more for each
//! [`PER_UNIT`] bytes that its answer turned out to have. Both come out of what the client's address may have (an IPv4 address, a /64 of
//! IPv6) and of what all may have together. Guarantees: who has none left is refused with 429 `quota`, and whatever all share being used up
//! with 503 `overloaded`, both with `Retry-After`, before a path is looked up or a body is read; HEAD costs what GET costs; a path
//! that nobody has priced costs as much as a search; probes are free. Does not: tell clients behind a proxy apart; where the proxy is on
//! the same machine, their address is a loopback address, which by default only counts in what all share: the proxy must limit each.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_http::body::{BodySize, BoxBody, MessageBody};
use actix_http::{Request, Response};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use tokio::time::Instant;

use super::problem::{Code, Problem};
use crate::rate::{Debts, Rate, network};

/// Units a second for one address in the long run: eight searches, or a thousand receipts; ten times as many at once.
pub const OF_EACH: NonZeroU32 = NonZeroU32::MIN.saturating_add(3_999);
/// Seconds whose units may be taken at once: a page asks for a dozen things, an auditor begins with a run.
const BURST_SECONDS: u32 = 10;
/// All together: 200,000 a second, twice what one worker does in tiles, so that what it stops is dear work from many addresses.
const OF_ALL: Rate = Rate { every: Duration::from_micros(5), burst: 400_000 };
/// Addresses whose debts are remembered, about a megabyte; those beyond it count as one.
const MAX_ADDRESSES: usize = 16_384;
/// Bytes of an answer that are one unit more: two tiles.
const PER_UNIT: u64 = 16 << 10;

/// A tile, a page, a head, or an error.
const TILE: u32 = 1;
/// A proof or a receipt: some tiles are read for it.
const PROOF: u32 = 4;
/// What may have to be unpacked, 256 entries at a time, or signed.
const UNPACKED: u32 = 8;
/// A search, a lineage, a sandbox: milliseconds of a core.
const SEARCH: u32 = 500;
/// An evidence bundle: ten thousand records are read and proved.
const BUNDLE: u32 = 4_000;

/// What may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// By one address.
    pub each: Rate,
    /// By all together.
    pub all: Rate,
    /// Whether loopback addresses have a limit each.
    pub loopback: bool,
}

impl Default for Rates {
    fn default() -> Self {
        let mut rates = Self::of_each(OF_EACH);
        rates.loopback = false;
        rates
    }
}

impl Rates {
    /// So many units a second for each address, those of this machine too.
    #[must_use]
    pub fn of_each(units: NonZeroU32) -> Self {
        let burst = units.get().saturating_mul(BURST_SECONDS);
        Self { each: Rate { every: Duration::from_secs(1) / units.get(), burst }, all: OF_ALL, loopback: true }
    }
}

/// Prices of paths; one that ends with `/` stands for whatever is below it.
const PRICES: [(&str, u32); 24] = [
    ("/livez", 0),
    ("/readyz", 0),
    ("/tile/entries/", UNPACKED),
    ("/metrics", PROOF),
    ("/v1/log", PROOF),
    ("/v1/entries", UNPACKED),
    ("/v1/entries/", UNPACKED),
    ("/v1/requests/", PROOF),
    ("/v1/receipts/", UNPACKED),
    ("/v1/proofs/inclusion", PROOF),
    ("/v1/proofs/consistency", PROOF),
    ("/v1/checkpoints", UNPACKED),
    ("/v1/dictionaries/", UNPACKED),
    ("/v1/epochs", UNPACKED),
    ("/v1/epochs/", UNPACKED),
    ("/v1/health", UNPACKED),
    ("/v1/health/history", UNPACKED),
    ("/v1/sandbox/samples", TILE),
    ("/v1/sandbox/decisions", SEARCH),
    ("/v1/decisions", SEARCH),
    ("/v1/decisions/", UNPACKED),
    ("/v1/governance", SEARCH),
    ("/v1/lineage/", SEARCH),
    ("/v1/bundles", BUNDLE),
];

/// What a path costs. An escaped spelling may lead to any of them, so it costs as the dearest.
fn price(path: &str) -> u32 {
    if path.contains('%') {
        return BUNDLE;
    }
    let is = |known: &str| path == known || known.ends_with('/') && path.starts_with(known);
    let known = PRICES.iter().find(|(known, _)| is(known)).map(|(_, price)| *price);
    known.unwrap_or(if path.starts_with("/v1/") { SEARCH } else { TILE })
}

/// The problems of every operation at this path that come before any work, for the document of the API.
pub(super) fn problems(path: &str) -> &'static [(u16, &'static str)] {
    const BOTH: [(u16, &str); 2] =
        [(Code::Quota.status(), Code::Quota.name()), (Code::Overloaded.status(), Code::Overloaded.name())];
    if price(path) == 0 { &[] } else { &BOTH }
}

/// Who lets requests to the public listener in.
pub struct Door {
    rates: Rates,
    since: Instant,
    debts: Mutex<(Duration, Debts)>,
    refused: Box<dyn Fn(Code) + Send + Sync>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("rates", &self.rates).finish_non_exhaustive()
    }
}

/// A request that was let in.
#[derive(Debug)]
pub struct Entered {
    door: Arc<Door>,
    peer: Option<IpAddr>,
}

impl Door {
    /// Nobody owes anything yet. `refused` is told of each refusal.
    pub fn new(rates: Rates, refused: impl Fn(Code) + Send + Sync + 'static) -> Arc<Self> {
        let debts = Mutex::new((Duration::ZERO, Debts::new(MAX_ADDRESSES)));
        Arc::new(Self { rates, since: Instant::now(), debts, refused: Box::new(refused) })
    }

    /// Lets a request in, or answers it.
    ///
    /// # Errors
    /// The answer that it gets.
    pub fn enter(self: &Arc<Self>, request: &Request) -> Result<Option<Entered>, Response<BoxBody>> {
        let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        self.take(peer, price(request.path()), self.since.elapsed()).map_err(|problem| {
            (self.refused)(problem.code);
            answer(&problem)
        })
    }

    fn take(self: &Arc<Self>, peer: IpAddr, price: u32, now: Duration) -> Result<Option<Entered>, Problem> {
        if price == 0 {
            return Ok(None);
        }
        let Rates { each, all, loopback } = self.rates;
        let limited = loopback || !peer.to_canonical().is_loopback();
        let peer = limited.then(|| network(peer));
        let mut debts = self.debts();
        let (shared, debts) = &mut *debts;
        let debt = peer.map(|peer| debts.of(peer, now));
        let own =
            debt.as_deref().map(|debt| each.take(*debt, now, price)).transpose().map_err(Problem::owed_by_address)?;
        *shared = all.take(*shared, now, price).map_err(|_| Problem::from(Code::Overloaded))?;
        // Both have it: nothing was taken where one has not.
        if let (Some(debt), Some(own)) = (debt, own) {
            *debt = own;
        }
        Ok(Some(Entered { door: self.clone(), peer }))
    }

    fn debts(&self) -> MutexGuard<'_, (Duration, Debts)> {
        self.debts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entered {
    /// Pays for the size of the answer.
    pub fn answered(self, body: &impl MessageBody) {
        if let BodySize::Sized(bytes) = body.size() {
            self.pay(bytes, self.door.since.elapsed());
        }
    }

    fn pay(&self, bytes: u64, now: Duration) {
        let units = u32::try_from(bytes / PER_UNIT).unwrap_or(u32::MAX);
        if units == 0 {
            return;
        }
        let Rates { each, all, .. } = self.door.rates;
        let mut debts = self.door.debts();
        let (shared, debts) = &mut *debts;
        *shared = all.charge(*shared, now, units);
        if let Some(peer) = self.peer {
            let debt = debts.of(peer, now);
            *debt = each.charge(*debt, now, units);
        }
    }
}

/// The answer, which pages of other sites may read as they read every other.
fn answer(problem: &Problem) -> Response<BoxBody> {
    let mut response = problem.response();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Retry-After"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn door(each: u32, all: u32) -> Arc<Door> {
        let rate = |burst| Rate { every: SECOND, burst };
        Door::new(Rates { each: rate(each), all: rate(all), loopback: false }, |_| {})
    }

    fn code(door: &Arc<Door>, peer: &str, price: u32, now: u32) -> Option<Code> {
        door.take(peer.parse().unwrap(), price, SECOND * now).err().map(|problem| problem.code)
    }

    /// What is served and not priced would cost as a search, whatever it is.
    #[test]
    fn every_path_that_is_described_has_a_price_and_every_price_a_path() {
        let document: serde_json::Value = serde_json::from_str(&super::super::openapi::document()).unwrap();
        let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
        assert!(paths.len() > 25, "{paths:?}");
        let stem = |path: &str| path.split('{').next().unwrap().to_owned();
        for path in paths.iter().filter(|path| path.starts_with("/v1/")) {
            assert!(PRICES.iter().any(|(known, _)| **known == stem(path)), "{path} has no price");
        }
        for (known, _) in PRICES {
            assert!(paths.iter().any(|path| stem(path) == known), "{known} is not served");
        }
        assert_eq!(PRICES.iter().filter(|(_, price)| *price == 0).count(), 2, "probes alone are free");
    }

    #[test]
    fn no_spelling_of_a_path_is_cheaper_than_the_path() {
        assert_eq!((price("/tile/0/000"), price("/tile/entries/000"), price("/")), (TILE, UNPACKED, TILE));
        assert_eq!((price("/v1/decisions"), price("/v1/decisions/7")), (SEARCH, UNPACKED));
        for (dear, at_least) in
            [("/v1/bundle%73", BUNDLE), ("/%76%31/bundles", BUNDLE), ("/livez%2f", BUNDLE), ("/v1/new", SEARCH)]
        {
            assert!(price(dear) >= at_least, "{dear}");
        }
        assert_eq!(price("/livez/x"), TILE);
    }

    #[test]
    fn an_address_that_has_none_left_waits_and_others_do_not() {
        let door = door(10, 1_000);
        assert_eq!(code(&door, "192.0.2.1", 10, 100), None);
        assert_eq!(code(&door, "192.0.2.1", 1, 100), Some(Code::Quota));
        assert_eq!(code(&door, "192.0.2.1", 0, 100), None, "probes are free");
        assert_eq!(code(&door, "192.0.2.2", 1, 100), None);
        assert_eq!(code(&door, "192.0.2.1", 3, 103), None);
        let problem = door.take("192.0.2.1".parse().unwrap(), 10, SECOND * 103).unwrap_err();
        assert_eq!(problem.wait, 10);
        assert_eq!(code(&door, "2001:db8::1", 10, 103), None);
        assert_eq!(code(&door, "2001:db8::2", 1, 103), Some(Code::Quota), "a /64 is one house");
        assert_eq!(code(&door, "2001:db8:0:1::2", 1, 103), None);
    }

    #[test]
    fn what_all_share_ends_for_all_and_a_refusal_costs_nobody_anything() {
        let door = door(10, 25);
        for n in 1..=2 {
            assert_eq!(code(&door, &format!("192.0.2.{n}"), 10, 100), None);
        }
        for _ in 0..50 {
            assert_eq!(code(&door, "192.0.2.1", 10, 100), Some(Code::Quota), "takes nothing of what all share");
            assert_eq!(code(&door, "192.0.2.3", 10, 100), Some(Code::Overloaded), "takes nothing of its own");
        }
        assert_eq!(code(&door, "192.0.2.3", 5, 100), None);
        assert_eq!(code(&door, "127.0.0.1", 1, 100), Some(Code::Overloaded), "of this machine, no less");
        assert_eq!(code(&door, "192.0.2.3", 5, 105), None, "its own was never taken");
    }

    #[test]
    fn addresses_of_this_machine_are_limited_together_alone_unless_told_otherwise() {
        for peer in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            let door = door(10, 30);
            assert_eq!((0..30).find_map(|_| code(&door, peer, 1, 100)), None, "{peer}");
            assert_eq!(code(&door, peer, 1, 100), Some(Code::Overloaded), "{peer}");
            let told = Door::new(Rates { loopback: true, ..door.rates }, |_| {});
            assert_eq!((code(&told, peer, 10, 100), code(&told, peer, 1, 100)), (None, Some(Code::Quota)), "{peer}");
        }
    }

    #[test]
    fn a_long_answer_is_paid_for_before_the_next_request() {
        let door = door(10, 1_000);
        let entered = door.take("192.0.2.1".parse().unwrap(), 1, SECOND * 100).unwrap().unwrap();
        entered.pay(PER_UNIT - 1, SECOND * 100);
        assert_eq!(code(&door, "192.0.2.1", 1, 100), None);
        entered.pay(20 * PER_UNIT, SECOND * 100);
        assert_eq!(code(&door, "192.0.2.1", 1, 112), Some(Code::Quota), "10 of its 22 units are still owed");
        assert_eq!(code(&door, "192.0.2.1", 1, 113), None);
        let shared = door.debts().0;
        assert_eq!(shared, SECOND * 123, "all share it too");
    }

    #[test]
    fn what_is_remembered_of_addresses_has_a_bound() {
        let door = door(10, u32::MAX);
        for n in 0..100_000_u32 {
            let _ = door.take(IpAddr::from((0x0a00_0000 + n).to_be_bytes()), 1, SECOND * 100);
        }
        assert_eq!(door.debts().1.remembered(), MAX_ADDRESSES);
        // There is no place for new ones, which have one limit together; those that have a place keep what is theirs.
        assert_eq!(code(&door, "192.0.2.1", 1, 100), Some(Code::Quota));
        assert_eq!(code(&door, "10.0.0.1", 9, 100), None);
        assert_eq!(code(&door, "192.0.2.1", 10, 120), None, "the others have paid");
    }
}
