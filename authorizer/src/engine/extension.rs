//! Values of Cedar's extension types, made once for each text.
//!
//! `cedar-policy` parses the constructor's own name each time that such an expression is made, which costs more than all else in
//! converting a request. Requests repeat their dates, so each engine remembers what it made. That changes no value: an expression
//! follows from type and text alone.

use std::cell::RefCell;
use std::collections::HashMap;

use cedar_policy::RestrictedExpression as Expr;

/// At most so many expressions are remembered of each type, a few hundred bytes each; then it begins anew.
const MOST: usize = 1_024;
/// Longer texts are not remembered: no valid one is.
const LONGEST: usize = 64;

/// An extension type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Extension {
    Decimal,
    Datetime,
    Duration,
    Ip,
}

impl Extension {
    fn make(self, text: &str) -> Expr {
        match self {
            Self::Decimal => Expr::new_decimal(text),
            Self::Datetime => Expr::new_datetime(text),
            Self::Duration => Expr::new_duration(text),
            Self::Ip => Expr::new_ip(text),
        }
    }
}

/// What one engine has made. Not shared: it belongs to one worker.
#[derive(Debug, Default)]
pub(super) struct Extensions(RefCell<HashMap<Extension, HashMap<String, Expr>>>);

impl Extensions {
    /// The expression for a text, which is not checked here: Cedar does, when entity or context is built.
    pub(super) fn of(&self, extension: Extension, text: &str) -> Expr {
        let Ok(mut made) = self.0.try_borrow_mut() else { return extension.make(text) };
        let made = made.entry(extension).or_default();
        if let Some(expression) = made.get(text) {
            return expression.clone();
        }
        let expression = extension.make(text);
        if text.len() <= LONGEST {
            if made.len() >= MOST {
                made.clear();
            }
            made.insert(text.to_owned(), expression.clone());
        }
        expression
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_the_same() {
        let extensions = Extensions::default();
        for i in 0..3 * MOST {
            let text = format!("{i}.0");
            assert_eq!(
                format!("{:?}", extensions.of(Extension::Decimal, &text)),
                format!("{:?}", Expr::new_decimal(&text))
            );
        }
        let _ = extensions.of(Extension::Datetime, "2024-01-01");
        let again = extensions.of(Extension::Datetime, "2024-01-01");
        assert_eq!(format!("{again:?}"), format!("{:?}", Expr::new_datetime("2024-01-01")));
        let _ = extensions.of(Extension::Ip, &"1".repeat(LONGEST + 1));
        let made = extensions.0.borrow();
        assert!(made[&Extension::Decimal].len() <= MOST);
        assert!(made[&Extension::Ip].is_empty());
    }
}
