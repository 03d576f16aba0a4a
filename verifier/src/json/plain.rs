//! The quick way from a text to its marks: a text that is plain is read in one pass, everything else is left to `serde_json`.
//!
//! Guarantees: what it reads is what `serde_json` reads, to the last value; at the first thing that is not plain (an escape, a number that is
//! no integer of at most 18 digits, deep nesting, a large object, any fault) it gives up and says nothing. So there is one reading still,
//! and every refusal with its position comes from one place. Does not: refuse anything.

use super::MAX_DEPTH;
use super::flat::{Flat, Mark, UNDERSCORES, place};

/// Objects with more keys are left out: a key may be held against all before it.
const MAX_KEYS: usize = 32;
/// Every integer of so many digits fits.
const MAX_DIGITS: usize = 18;
/// A value takes so many bytes of a text, roughly: room for the marks is made once.
const BYTES_A_MARK: usize = 6;

/// The value that a whole text is, if the text is plain.
pub(super) fn read(text: &str) -> Option<Flat> {
    u32::try_from(text.len()).ok()?;
    let flat = Flat { text: text.to_owned(), marks: Vec::with_capacity(text.len() / BYTES_A_MARK), underscored: false };
    let mut scanner = Scanner { text, at: 0, flat };
    scanner.value(0)?;
    scanner.space();
    scanner.peek().is_none().then_some(scanner.flat)
}

struct Scanner<'a> {
    text: &'a str,
    /// Bytes read so far.
    at: usize,
    flat: Flat,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte after white space (RFC 8259 §2).
    fn space(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        match self.space()? {
            b'"' => self.string().map(drop),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b't' => self.word("true", Mark::Bool(true)),
            b'f' => self.word("false", Mark::Bool(false)),
            b'n' => self.word("null", Mark::Null),
            _ => self.integer(),
        }
    }

    fn word(&mut self, word: &str, mark: Mark) -> Option<()> {
        self.text.get(self.at..)?.strip_prefix(word)?;
        self.at += word.len();
        self.flat.marks.push(mark);
        Some(())
    }

    /// From the opening quote that was seen to behind the closing one; without escapes, so that it is the text itself.
    fn string(&mut self) -> Option<&'a str> {
        let start = self.at + 1;
        let length = self.text.as_bytes().get(start..)?.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20))?;
        let end = start + length;
        self.at = end;
        (self.peek() == Some(b'"')).then_some(())?;
        self.at += 1;
        self.flat.marks.push(Mark::String { start: place(start), end: place(end) });
        let text = self.text.get(start..end)?;
        self.flat.underscored |= text.starts_with(UNDERSCORES);
        Some(text)
    }

    fn integer(&mut self) -> Option<()> {
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let digits = self.text.as_bytes().get(self.at..)?.iter().take_while(|b| b.is_ascii_digit()).count();
        let text = self.text.get(self.at..self.at + digits)?;
        // Minus zero is a double, and a zero at the front is none of JSON.
        if digits == 0 || digits > MAX_DIGITS || (text.starts_with('0') && (negative || digits > 1)) {
            return None;
        }
        self.at += digits;
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        let value = text.bytes().fold(0, |value: i64, digit| value * 10 + i64::from(digit - b'0'));
        self.flat.marks.push(Mark::Int(if negative { -value } else { value }));
        Some(())
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        let opened = self.open(depth)?;
        if self.space()? == b']' {
            self.at += 1;
        } else {
            loop {
                self.value(depth + 1)?;
                if self.closed(b']')? {
                    break;
                }
            }
        }
        self.flat.close(opened, |end| Mark::Array { end });
        Some(())
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        let opened = self.open(depth)?;
        if self.space()? == b'}' {
            self.at += 1;
        } else {
            let (mut keys, mut seen) = (0, 0_u64);
            loop {
                (self.space()? == b'"').then_some(())?;
                let before = self.flat.marks.len();
                let key = self.string()?;
                let like = likeness(key);
                // Only a key that is like one before it is held against them.
                if keys == MAX_KEYS || (seen & like != 0 && self.stands(opened, before, key)) {
                    return None;
                }
                (keys, seen) = (keys + 1, seen | like);
                (self.space()? == b':').then_some(())?;
                self.at += 1;
                self.value(depth + 1)?;
                if self.closed(b'}')? {
                    break;
                }
            }
        }
        self.flat.close(opened, |end| Mark::Object { end });
        Some(())
    }

    /// Whether a key stands in the object at mark `opened`, before mark `before`.
    fn stands(&self, opened: usize, before: usize, key: &str) -> bool {
        let mut at = opened + 1;
        while at < before {
            if let Some(Mark::String { start, end }) = self.flat.marks.get(at)
                && self.flat.string(*start, *end) == key
            {
                return true;
            }
            at = self.flat.behind(place(at + 1)) as usize;
        }
        false
    }

    /// Past a bracket that was seen; where its mark is. The last level is left out: whether it may hold something is not decided here.
    fn open(&mut self, depth: usize) -> Option<usize> {
        self.at += 1;
        (depth + 1 < MAX_DEPTH).then(|| self.flat.open())
    }

    /// Whether the list ends here; else it goes on behind a comma.
    fn closed(&mut self, bracket: u8) -> Option<bool> {
        let next = self.space()?;
        self.at += 1;
        match next {
            _ if next == bracket => Some(true),
            b',' => Some(false),
            _ => None,
        }
    }
}

/// One bit of 64 that equal keys share.
fn likeness(key: &str) -> u64 {
    let (first, last) = (key.bytes().next().unwrap_or(0), key.bytes().next_back().unwrap_or(0));
    let sum =
        key.len().wrapping_mul(31).wrapping_add(usize::from(first).wrapping_mul(7)).wrapping_add(usize::from(last));
    1 << (sum % 64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Document, slowly};
    use super::*;

    /// What was read quickly is what is read slowly; whether it was.
    fn agrees(text: &str) -> bool {
        let quick = read(text).is_some();
        if quick {
            let document = Document::parse(text.as_bytes()).unwrap();
            assert_eq!(slowly(text), Ok(document.root().to_json()), "{text}");
            assert_eq!(Document::from(&slowly(text).unwrap()).is_underscored(), document.is_underscored(), "{text}");
        }
        quick
    }

    #[test]
    fn what_is_plain_is_read_quickly() {
        for text in [
            r#" { "a" : [ 1 , -2,{}, [],"é ", true,false,null ] , "b":{"c":999999999999999999} } "#,
            "0",
            "-7",
            "\"\"",
            "[[[]]]",
            "\t[\r\n]",
        ] {
            assert!(agrees(text), "{text}");
        }
        assert!(agrees("{\"a\":\"\u{10ffff}\"}"));
    }

    #[test]
    fn whatever_is_not_plain_is_left_to_the_slow_way() {
        for text in [
            "",
            " ",
            "{",
            "[",
            "[1,]",
            "[,1]",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "{\"a\":1,\"a\":2}",
            "\"a",
            "\"a\u{1}\"",
            "\"\\n\"",
            "-0",
            "00",
            "01",
            "-",
            "+1",
            "1.0",
            "1e3",
            "1E3",
            "1234567890123456789",
            "9223372036854775807",
            "tru",
            "nul",
            "truex",
            "1 2",
            "{}x",
            "\u{feff}1",
            "\u{b}1",
            "\u{c}1",
            "\u{a0}1",
            "[1\u{0}]",
            "NaN",
            "[1 2]",
            "{\"a\" 1}",
            "{\"a\":1 \"b\":2}",
            "'a'",
            "//\n1",
        ] {
            assert!(!agrees(text), "{text}");
        }
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(agrees(&nested(MAX_DEPTH - 1)) && !agrees(&nested(MAX_DEPTH)));
        let keys =
            |count: usize| format!("{{{}}}", (0..count).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(","));
        assert!(agrees(&keys(MAX_KEYS)) && !agrees(&keys(MAX_KEYS + 1)));
    }

    const PIECES: [&str; 28] = [
        "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"b\":", "\"é\"", "\\", "\\u0061", "0", "-", "1", "9", "12", ".",
        "e", "true", "false", "null", " ", "\n", "\t", "\u{b}", "\u{0}", "\u{7f}",
    ];

    fn texts() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|value| value.to_string()),
            any::<i64>().prop_map(|value| value.to_string()),
            (-1000..1000_i64).prop_map(|value| value.to_string()),
            any::<f64>().prop_map(|value| serde_json::to_string(&value).unwrap()),
            ".{0,30}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            let pair = ("[a-e]{0,2}", inner.clone()).prop_map(|(key, value)| format!("\"{key}\" :{value}"));
            prop_oneof![
                prop::collection::vec(inner, 0..6).prop_map(|values| format!("[{}]", values.join(", "))),
                prop::collection::vec(pair, 0..6).prop_map(|pairs| format!("{{{}}}", pairs.join(","))),
            ]
        })
    }

    proptest! {
        #[test]
        fn both_ways_agree_on_what_is_json(text in texts()) {
            agrees(&text);
        }

        #[test]
        fn both_ways_agree_on_what_is_nearly_json(text in texts(), at in any::<prop::sample::Index>(), piece in prop::sample::select(&PIECES[..]), cut in 0..3_usize) {
            let place = text.floor_char_boundary(at.index(text.len() + 1));
            let behind = text.ceil_char_boundary((place + cut).min(text.len()));
            agrees(&format!("{}{piece}{}", text.get(..place).unwrap(), text.get(behind..).unwrap()));
        }

        #[test]
        fn both_ways_agree_on_scraps(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..12)) {
            agrees(&pieces.concat());
        }
    }
}
