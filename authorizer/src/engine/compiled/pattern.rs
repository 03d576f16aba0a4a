//! `like`: a pattern as the texts between its wildcards.
//!
//! Guarantees the same answer as Cedar's matching of characters: a text is found at a boundary of characters or not at all, since both are
//! UTF-8, and the leftmost place for each text leaves the most for the rest.

/// Whether a text matches texts with anything between them: the first stands at the beginning, the last at the end.
pub(super) fn matches<'a>(text: &str, mut between: impl DoubleEndedIterator<Item = &'a str>) -> bool {
    let Some(first) = between.next() else { return text.is_empty() };
    let Some(rest) = text.strip_prefix(first) else { return false };
    // Without a wildcard there is one text only.
    let Some(last) = between.next_back() else { return rest.is_empty() };
    let Some(mut rest) = rest.strip_suffix(last) else { return false };
    for text in between {
        match rest.split_once(text) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    true
}
