//! W3C Trace Context, levels 1 and 2: whose trace a request continues, as its `traceparent` says.
//!
//! Guarantees: what is not exactly of the form is ignored, and a new trace begins (§4.3); of `tracestate` only OpenTelemetry's own numbers
//! are kept (`ot=th:…;rv:…`, hexadecimal), so that what a stranger writes there goes nowhere.
//! Does not: pass anything on.

/// A header of a later version may be longer than ours; beyond this it is nobody's.
const MAX_PARENT: usize = 512;
/// What a `tracestate` must be able to carry (§3.3.1.5); nothing longer is looked at.
const MAX_STATE: usize = 512;
/// Members of a `tracestate` (§3.3.1.1).
const MAX_MEMBERS: usize = 32;
/// Hexadecimal digits of a threshold, at most, and of a random value, exactly (OpenTelemetry, "TraceState: Probability Sampling").
const DIGITS: usize = 14;

/// What a request continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub trace: [u8; 16],
    /// The caller's span.
    pub span: [u8; 8],
    /// The caller records it.
    pub sampled: bool,
    /// The trace's id is random (level 2).
    pub random: bool,
    /// What is kept of `tracestate`; empty if nothing.
    pub state: String,
}

impl Parent {
    /// Out of the values of both headers; `None` where a new trace begins.
    pub fn of<'a>(
        mut parents: impl Iterator<Item = &'a [u8]>,
        states: impl Iterator<Item = &'a [u8]>,
    ) -> Option<Parent> {
        let (text, more) = (parents.next()?, parents.next());
        // Of two parents neither is believed.
        let parent = more.is_none().then(|| parsed(text))??;
        Some(Parent { state: kept(states).unwrap_or_default(), ..parent })
    }
}

/// `version-traceid-parentid-flags`, lower-case hexadecimal (§3.2).
fn parsed(text: &[u8]) -> Option<Parent> {
    if text.len() > MAX_PARENT {
        return None;
    }
    let [version] = hex(text.get(..2)?)?;
    let trace: [u8; 16] = hex(text.get(3..35)?)?;
    let span: [u8; 8] = hex(text.get(36..52)?)?;
    let [flags] = hex(text.get(53..55)?)?;
    let dashes = [2, 35, 52].iter().all(|at| text.get(*at) == Some(&b'-'));
    // Only a later version may go on behind the flags, and then with a dash (§4.3).
    let ends = match text.get(55) {
        None => true,
        Some(next) => version != 0 && *next == b'-',
    };
    let good = dashes && ends && version != 0xff && trace != [0; 16] && span != [0; 8];
    good.then(|| Parent { trace, span, sampled: flags & 1 != 0, random: flags & 2 != 0, state: String::new() })
}

fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    if pairs.len() != N {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    }
}

/// The member `ot` with its two sub-keys of known form; `None` where there is none, or the list is not one.
fn kept<'a>(states: impl Iterator<Item = &'a [u8]>) -> Option<String> {
    let (mut bytes, mut members, mut found) = (0, 0, None);
    for state in states {
        bytes += state.len();
        if bytes > MAX_STATE {
            return None;
        }
        for member in std::str::from_utf8(state).ok()?.split(',').map(str::trim).filter(|member| !member.is_empty()) {
            members += 1;
            let twice = member.strip_prefix("ot=").is_some_and(|value| found.replace(value).is_some());
            if members > MAX_MEMBERS || twice {
                return None;
            }
        }
    }
    let good = |digits: &str, least: usize| {
        (least..=DIGITS).contains(&digits.len()) && digits.bytes().all(|c| digit(c).is_some())
    };
    let known = |part: &&str| match part.split_once(':') {
        Some(("th", digits)) => good(digits, 1),
        Some(("rv", digits)) => good(digits, DIGITS),
        Some(_) | None => false,
    };
    // Each once: what is left of a longer list is not a list of ours.
    let parts: Vec<&str> = found?.split(';').filter(known).take(2).collect();
    (!parts.is_empty()).then(|| format!("ot={}", parts.join(";")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(parents: &[&str], states: &[&str]) -> Option<Parent> {
        Parent::of(parents.iter().map(|text| text.as_bytes()), states.iter().map(|text| text.as_bytes()))
    }

    #[test]
    fn a_parent_of_the_form_is_continued_with_its_flags() {
        let parent = of(&[GOOD], &[]).unwrap();
        assert_eq!((parent.trace[0], parent.trace[15], parent.span[7]), (0x0a, 0x9c, 0x31));
        assert_eq!((parent.sampled, parent.random, parent.state.as_str()), (true, false, ""));
        for (flags, sampled, random) in
            [("00", false, false), ("03", true, true), ("02", false, true), ("fd", true, false)]
        {
            let parent = of(&[&GOOD.replace("-01", &format!("-{flags}"))], &[]).unwrap();
            assert_eq!((parent.sampled, parent.random), (sampled, random), "{flags}");
        }
        // A later version may go on.
        for later in [GOOD.replacen("00", "cc", 1), format!("{}-what-the-future-will-be", GOOD.replacen("00", "cc", 1))]
        {
            assert!(of(&[&later], &[]).unwrap().sampled, "{later}");
        }
    }

    #[test]
    fn whatever_differs_from_the_form_begins_a_new_trace() {
        for bad in [
            String::new(),
            "00".into(),
            "00-".into(),
            GOOD.to_uppercase(),
            GOOD.replacen("00", "ff", 1),
            GOOD.replacen("00", "0g", 1),
            GOOD.replace('-', "_"),
            format!("{GOOD}-"),
            format!("{GOOD}-00"),
            format!("{GOOD} "),
            format!(" {GOOD}"),
            format!("{GOOD}0"),
            format!("{}.", GOOD.replacen("00", "01", 1)),
            format!("{}-{}", GOOD.replacen("00", "01", 1), "a".repeat(8_192)),
            GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            GOOD.replace("b7ad6b7169203331", "b7ad6b716920333"),
            "é".repeat(28),
        ] {
            assert_eq!(of(&[&bad], &[]), None, "{bad}");
        }
        assert_eq!(of(&[], &["ot=th:8"]), None);
        assert_eq!(of(&[GOOD, GOOD], &[]), None, "of two neither");
        // Each byte of it, one after the other.
        for at in 0..GOOD.len() {
            let mut bytes = GOOD.as_bytes().to_vec();
            bytes[at] = b'G';
            assert_eq!(Parent::of([bytes.as_slice()].into_iter(), [].into_iter()), None, "{at}");
            assert_eq!(Parent::of([&GOOD.as_bytes()[..at]].into_iter(), [].into_iter()), None, "{at}");
        }
    }

    #[test]
    fn of_tracestate_only_two_numbers_are_kept() {
        for (states, kept) in [
            (vec!["ot=th:8"], "ot=th:8"),
            (vec!["a=b, ot=rv:0123456789abcd;th:c;x:secret ,c=d"], "ot=rv:0123456789abcd;th:c"),
            (vec!["a=b", "ot=th:0"], "ot=th:0"),
            (vec!["ot=th:"], ""),
            (vec!["ot=th:secret"], ""),
            (vec!["ot=rv:0123"], ""),
            (vec!["ot=th:8", "ot=th:9"], ""),
            (vec!["secret=th:8"], ""),
            (vec![], ""),
        ] {
            assert_eq!(of(&[GOOD], &states).unwrap().state, kept, "{states:?}");
        }
        let (long, many) =
            (format!("a={},ot=th:8", "b".repeat(MAX_STATE)), format!("{}ot=th:8", "a=b,".repeat(MAX_MEMBERS)));
        assert_eq!(of(&[GOOD], &[&long]).unwrap().state, "");
        assert_eq!(of(&[GOOD], &[&many]).unwrap().state, "");
    }
}
