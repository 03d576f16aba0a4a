//! A number of a request as a `decimal`, exactly or not at all.

use std::fmt::Write;

use verifier::json::View;

use super::super::codes::Code;
use super::extensions;
use super::value::Value;

/// The rule of `engine/convert.rs`, without its texts on the heap.
pub(super) fn decimal(value: View<'_>) -> Result<Value, Code> {
    let scaled = match value {
        View::Int(value) => value.checked_mul(10_000),
        View::Float(value) => shortest(value),
        View::Null | View::Bool(_) | View::String(_) | View::Array(_) | View::Object(_) => return Err(Code::IllTyped),
    };
    scaled.map(Value::Decimal).ok_or(Code::NotRepresentable)
}

fn shortest(value: f64) -> Option<i64> {
    /// No decimal has a longer text.
    #[derive(Default)]
    struct Short([u8; 32], usize);

    impl Write for Short {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            let end = self.1 + text.len();
            self.0.get_mut(self.1..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
            self.1 = end;
            Ok(())
        }
    }

    if !value.is_finite() || (value == 0.0 && value.is_sign_negative()) {
        return None;
    }
    let mut short = Short::default();
    write!(short, "{value:?}").ok()?;
    let text = std::str::from_utf8(short.0.get(..short.1)?).ok()?;
    let digits = text.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').count();
    if digits > 15 + usize::from(text.ends_with(".0")) {
        return None;
    }
    extensions::decimal(text) // which has no exponent
}
