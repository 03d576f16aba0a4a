//! Cedar's extension values, read and computed as `cedar-policy` 4.14 does: `decimal`, `datetime`, `duration`, `ipaddr`.
//!
//! Each reader takes exactly the texts that Cedar takes. Guarantees that equal values are equal here and there, and that what overflows there is
//! refused here. Tests hold every pair of a list of edge values against Cedar.

use std::net::IpAddr;

/// Milliseconds of a day.
const DAY: i64 = 24 * 3_600 * 1_000;
/// The longest text of an address: eight groups and a prefix.
const LONGEST_IP: usize = 43;

/// An address or a range of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ip {
    v6: bool,
    prefix: u8,
    /// Big-endian; an IPv4 address stands in the first four.
    bytes: [u8; 16],
}

/// Ten-thousandths: digits on both sides of the point, at most four behind it.
pub(super) fn decimal(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.')?;
    let negative = whole.starts_with('-');
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    if !all_digits(digits) || !all_digits(fraction) || fraction.len() > 4 {
        return None;
    }
    // With its sign, since the smallest value has no positive counterpart.
    let whole = whole.parse::<i64>().ok()?.checked_mul(10_000)?;
    let scale = [10_000, 1_000, 100, 10, 1].get(fraction.len()).copied()?;
    let fraction = fraction.parse::<i64>().ok()?.checked_mul(scale)?;
    if negative { whole.checked_sub(fraction) } else { whole.checked_add(fraction) }
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Milliseconds: `-?(..d)?(..h)?(..m)?(..s)?(..ms)?`, at least one of them.
pub(super) fn duration(text: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 5] = [("d", DAY), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let (mut sum, mut next) = (0_i64, 0);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at_checked(digits)?;
        let letters = behind.bytes().take_while(u8::is_ascii_lowercase).count();
        let (unit, behind) = behind.split_at_checked(letters)?;
        let at = UNITS.iter().position(|(name, _)| *name == unit)?;
        if number.is_empty() || at < next {
            return None;
        }
        let (_, scale) = UNITS.get(at)?;
        let number = number.parse::<u64>().ok()?;
        // Only milliseconds reach the smallest value.
        let part = if *scale == 1 {
            let number = i128::from(number);
            i64::try_from(if negative { -number } else { number }).ok()?
        } else {
            let part = i64::try_from(number).ok()?.checked_mul(*scale)?;
            if negative { part.checked_neg()? } else { part }
        };
        sum = sum.checked_add(part)?;
        (next, rest) = (at + 1, behind);
    }
    Some(sum)
}

/// Milliseconds since 1970: `YYYY-MM-DD`, or with `Thh:mm:ss`, a fraction of three digits or none, and `Z` or `±hhmm`.
pub(super) fn datetime(text: &str) -> Option<i64> {
    let mut reader = Reader(text.as_bytes());
    let year = reader.number(4)?;
    reader.byte(b'-')?;
    let month = reader.number(2)?;
    reader.byte(b'-')?;
    let day = reader.number(2)?;
    let midnight = days(year, month, day)?.checked_mul(DAY)?;
    if reader.0.is_empty() {
        return Some(midnight);
    }
    reader.byte(b'T')?;
    let hour = reader.number(2)?;
    reader.byte(b':')?;
    let minute = reader.number(2)?;
    reader.byte(b':')?;
    let second = reader.number(2)?;
    let ms = if reader.byte(b'.').is_some() { reader.number(3)? } else { 0 };
    let offset = if reader.byte(b'Z').is_some() {
        0
    } else {
        let sign = if reader.byte(b'+').is_some() { 1 } else { reader.byte(b'-').map(|()| -1)? };
        let (hours, minutes) = (reader.number(2)?, reader.number(2)?);
        if hours > 23 || minutes > 59 {
            return None;
        }
        sign * (hours * 3_600_000 + minutes * 60_000)
    };
    if !reader.0.is_empty() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(midnight + hour * 3_600_000 + minute * 60_000 + second * 1_000 + ms - offset)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        if !number.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.0 = rest;
        Some(number.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar; `None` if there is no such day.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if day < 1 || day > length {
        return None;
    }
    // Years begin in March, so that the leap day is their last; an era has 400 of them, 146,097 days.
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, in_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let in_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719_468)
}

/// The midnight before, which for the first day that there is cannot be said.
pub(super) fn to_date(ms: i64) -> Option<i64> {
    ms.checked_sub(ms.rem_euclid(DAY))
}

/// The time since midnight.
pub(super) fn to_time(ms: i64) -> i64 {
    ms.rem_euclid(DAY)
}

/// Whole units of so many milliseconds each, towards zero.
pub(super) fn whole(ms: i64, unit: i64) -> i64 {
    ms.checked_div(unit).unwrap_or_default()
}

/// An address, with a prefix or without.
pub(super) fn ip(text: &str) -> Option<Ip> {
    let twice = |mark: char| text.matches(mark).count() >= 2;
    if text.len() > LONGEST_IP || (twice(':') && twice('.')) {
        return None;
    }
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = address.parse().ok()?;
    let (v6, longest, bytes) = match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            (false, 32, [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        }
        IpAddr::V6(address) => (true, 128, address.octets()),
    };
    let prefix = prefix.map_or(Some(longest), |text| read_prefix(text, longest))?;
    Some(Ip { v6, prefix, bytes })
}

fn read_prefix(text: &str, longest: u8) -> Option<u8> {
    if !all_digits(text) || (text.starts_with('0') && text != "0") {
        return None;
    }
    text.parse::<u8>().ok().filter(|prefix| *prefix <= longest)
}

impl Ip {
    pub(super) fn is_v6(self) -> bool {
        self.v6
    }

    /// All of the range is.
    pub(super) fn is_loopback(self) -> bool {
        if self.v6 {
            self.address() == 1 && self.prefix == 128
        } else {
            self.bytes.first() == Some(&127) && self.prefix >= 8
        }
    }

    /// All of the range is.
    pub(super) fn is_multicast(self) -> bool {
        let first = self.bytes.first().copied().unwrap_or_default();
        if self.v6 { first == 0xff && self.prefix >= 8 } else { first & 0xf0 == 0xe0 && self.prefix >= 4 }
    }

    /// All of the range lies in another one of the same family.
    pub(super) fn is_in_range(self, other: Self) -> bool {
        if self.v6 != other.v6 {
            return false;
        }
        // Left-aligned in 128 bits both families have the same masks; what lies behind 32 bits is zero in each IPv4 network, and one in
        // each last address.
        let host = |prefix: u8| u128::MAX.checked_shr(prefix.into()).unwrap_or_default();
        let (first, last) = (self.address() & !host(self.prefix), self.address() | host(self.prefix));
        let (lowest, highest) = (other.address() & !host(other.prefix), other.address() | host(other.prefix));
        lowest <= first && last <= highest
    }

    /// A text that is read as this value.
    pub(super) fn text(self) -> String {
        let [a, b, c, d, ..] = self.bytes;
        let address = if self.v6 { IpAddr::from(self.bytes) } else { IpAddr::from([a, b, c, d]) };
        format!("{address}/{}", self.prefix)
    }

    fn address(self) -> u128 {
        u128::from_be_bytes(self.bytes)
    }
}
