//! A JSON text as one flat list of marks over its bytes: what a request is read into.
//!
//! Why: a tree of a request is dozens of small allocations, most of which are looked at once. Guarantees: the same values as [`Json`] has, in
//! the order of the text; looking at one copies nothing, and what is owned shares the one list. Does not: refuse anything; that is done by
//! whoever makes the marks (`plain.rs`, or [`Json`] where a text is not plain).

use std::fmt;
use std::iter;
use std::sync::Arc;

use super::{Json, JsonError, Text, plain, slowly, utf8};

/// Strings with this beginning are rare, and what they may mean is looked for only where there is one.
pub(super) const UNDERSCORES: &str = "__";

/// A text, and where its values stand in it.
#[derive(Debug)]
pub(super) struct Flat {
    /// The text that was read, or all strings of a tree one after the other.
    pub text: String,
    pub marks: Vec<Mark>,
    /// Whether some string begins with two underscores.
    pub underscored: bool,
}

/// One value. An array's items follow it, an object's pairs do, each key as a string before its value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mark {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// The bytes of the text from `start` to before `end`.
    String {
        start: u32,
        end: u32,
    },
    /// What belongs to it ends before mark `end`.
    Array {
        end: u32,
    },
    /// As an array.
    Object {
        end: u32,
    },
}

static NOTHING: Flat = Flat { text: String::new(), marks: Vec::new(), underscored: false };

impl Flat {
    /// A tree, flattened.
    fn of(json: &Json) -> Self {
        let mut flat = Self { text: String::new(), marks: Vec::new(), underscored: false };
        flat.push(json);
        flat
    }

    fn push(&mut self, json: &Json) {
        match json {
            Json::Null => self.marks.push(Mark::Null),
            Json::Bool(value) => self.marks.push(Mark::Bool(*value)),
            Json::Int(value) => self.marks.push(Mark::Int(*value)),
            Json::Float(value) => self.marks.push(Mark::Float(*value)),
            Json::String(text) => self.push_text(text),
            Json::Array(values) => {
                let place = self.open();
                values.iter().for_each(|value| self.push(value));
                self.close(place, |end| Mark::Array { end });
            }
            Json::Object(pairs) => self.push_pairs(pairs),
        }
    }

    fn push_pairs(&mut self, pairs: &[(Text, Json)]) {
        let place = self.open();
        for (name, value) in pairs {
            self.push_text(name);
            self.push(value);
        }
        self.close(place, |end| Mark::Object { end });
    }

    fn push_text(&mut self, text: &str) {
        let start = place(self.text.len());
        self.text.push_str(text);
        self.marks.push(Mark::String { start, end: place(self.text.len()) });
        self.underscored |= text.starts_with(UNDERSCORES);
    }

    pub(super) fn open(&mut self) -> usize {
        self.marks.push(Mark::Null);
        self.marks.len() - 1
    }

    pub(super) fn close(&mut self, at: usize, mark: impl FnOnce(u32) -> Mark) {
        let end = place(self.marks.len());
        if let Some(opened) = self.marks.get_mut(at) {
            *opened = mark(end);
        }
    }

    /// The mark behind the value at `at`, whatever belongs to it.
    pub(super) fn behind(&self, at: u32) -> u32 {
        match self.marks.get(at as usize) {
            Some(Mark::Array { end } | Mark::Object { end }) => *end,
            _ => at.saturating_add(1),
        }
    }

    pub(super) fn string(&self, start: u32, end: u32) -> &str {
        self.text.get(start as usize..end as usize).unwrap_or_default()
    }

    fn view(&self, at: u32) -> View<'_> {
        match self.marks.get(at as usize).copied() {
            None | Some(Mark::Null) => View::Null,
            Some(Mark::Bool(value)) => View::Bool(value),
            Some(Mark::Int(value)) => View::Int(value),
            Some(Mark::Float(value)) => View::Float(value),
            Some(Mark::String { start, end }) => View::String(self.string(start, end)),
            Some(Mark::Array { end }) => View::Array(Items { flat: self, at, end }),
            Some(Mark::Object { end }) => View::Object(Pairs { flat: self, at, end }),
        }
    }
}

/// Places count in 32 bits: whatever is read has a limit far below (a request 64 KiB, a body 8 MiB).
pub(super) fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// One JSON text.
#[derive(Debug, Clone)]
pub struct Document(Arc<Flat>);

impl Document {
    /// Reads exactly one value, as [`Json::parse`] does.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let text = utf8(bytes)?;
        Self::plain(text).map_or_else(|| slowly(text).map(|json| Self::from(&json)), Ok)
    }

    /// A text, if it is plain.
    pub(super) fn plain(text: &str) -> Option<Self> {
        Some(Self(Arc::new(plain::read(text)?)))
    }

    /// The value.
    pub fn root(&self) -> View<'_> {
        self.0.view(0)
    }

    /// Whether some string in it begins with two underscores.
    pub fn is_underscored(&self) -> bool {
        self.0.underscored
    }

    /// An object of this document, to be kept.
    pub fn keep(&self, object: Pairs<'_>) -> Object {
        match std::ptr::eq(&raw const *self.0, object.flat) {
            true if object.is_empty() => Object(None),
            true => Object(Some((self.0.clone(), object.at))),
            false => object.to_pairs().into(),
        }
    }
}

impl From<&Json> for Document {
    fn from(json: &Json) -> Self {
        Self(Arc::new(Flat::of(json)))
    }
}

/// An object of a document, kept: clones share the document. Equal where names and values are, in their order.
#[derive(Clone, Default)]
pub struct Object(Option<(Arc<Flat>, u32)>);

impl Object {
    /// Its pairs.
    pub fn pairs(&self) -> Pairs<'_> {
        match self.0.as_ref().map(|(flat, at)| flat.view(*at)) {
            Some(View::Object(pairs)) => pairs,
            Some(_) | None => Pairs { flat: &NOTHING, at: 0, end: 0 },
        }
    }

    /// Names and values, in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, View<'_>)> {
        self.pairs().iter()
    }

    /// The value under a name.
    pub fn get(&self, name: &str) -> Option<View<'_>> {
        self.pairs().get(name)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.pairs().is_empty()
    }

    /// A tree's pairs.
    pub fn to_pairs(&self) -> Vec<(Text, Json)> {
        self.pairs().to_pairs()
    }
}

impl From<Vec<(Text, Json)>> for Object {
    fn from(pairs: Vec<(Text, Json)>) -> Self {
        if pairs.is_empty() {
            return Self(None);
        }
        let mut flat = Flat { text: String::new(), marks: Vec::new(), underscored: false };
        flat.push_pairs(&pairs);
        Self(Some((Arc::new(flat), 0)))
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.pairs() == other.pairs()
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pairs().fmt(f)
    }
}

/// A value of a document. Copied like a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum View<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number written without fraction or exponent that fits.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    String(&'a str),
    /// An array.
    Array(Items<'a>),
    /// An object; keys are distinct.
    Object(Pairs<'a>),
}

impl View<'_> {
    /// As a tree.
    pub fn to_json(self) -> Json {
        match self {
            View::Null => Json::Null,
            View::Bool(value) => Json::Bool(value),
            View::Int(value) => Json::Int(value),
            View::Float(value) => Json::Float(value),
            View::String(text) => Json::String(Text::new(text)),
            View::Array(items) => Json::Array(items.iter().map(View::to_json).collect()),
            View::Object(pairs) => Json::Object(pairs.to_pairs()),
        }
    }
}

/// The items of an array.
#[derive(Clone, Copy)]
pub struct Items<'a> {
    flat: &'a Flat,
    at: u32,
    end: u32,
}

impl<'a> Items<'a> {
    /// In order.
    pub fn iter(self) -> impl Iterator<Item = View<'a>> + use<'a> {
        let Items { flat, at, end } = self;
        let mut next = at.saturating_add(1);
        iter::from_fn(move || {
            let at = (next < end).then_some(next)?;
            next = flat.behind(at);
            Some(flat.view(at))
        })
    }
}

impl PartialEq for Items<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Items<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The names and values of an object.
#[derive(Clone, Copy)]
pub struct Pairs<'a> {
    flat: &'a Flat,
    at: u32,
    end: u32,
}

impl<'a> Pairs<'a> {
    /// In the order of the text.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, View<'a>)> + use<'a> {
        let Pairs { flat, at, end } = self;
        let mut next = at.saturating_add(1);
        iter::from_fn(move || {
            let name = (next < end).then_some(next)?;
            let value = name.saturating_add(1);
            next = flat.behind(value);
            let Some(Mark::String { start, end }) = flat.marks.get(name as usize) else { return None };
            Some((flat.string(*start, *end), flat.view(value)))
        })
    }

    /// The value under a name.
    pub fn get(self, name: &str) -> Option<View<'a>> {
        self.iter().find(|(this, _)| *this == name).map(|(_, value)| value)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.end <= self.at.saturating_add(1)
    }

    /// A tree's pairs.
    pub fn to_pairs(self) -> Vec<(Text, Json)> {
        self.iter().map(|(name, value)| (Text::new(name), value.to_json())).collect()
    }
}

impl PartialEq for Pairs<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Pairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"a":[1,{"b":null,"c":[]},"x\u00e9",-2.5],"d":{},"e":{"f":{"g":true}},"h":"i"}"#;

    #[test]
    fn a_document_and_a_tree_are_the_same_values_in_the_same_order() {
        for text in [TEXT, "[]", "{}", "null", "\"__x\"", "[[[1]],[[2,3]]]"] {
            let (tree, document) = (Json::parse(text.as_bytes()).unwrap(), Document::parse(text.as_bytes()).unwrap());
            assert_eq!(document.root().to_json(), tree, "{text}");
            assert_eq!(Document::from(&tree).root(), document.root(), "{text}");
        }
    }

    #[test]
    fn an_object_that_is_kept_outlives_its_document_and_equals_its_pairs() {
        let document = Document::parse(TEXT.as_bytes()).unwrap();
        let View::Object(root) = document.root() else { panic!("an object") };
        let Some(View::Object(inner)) = root.get("e") else { panic!("an object") };
        let (all, kept) = (document.keep(root), document.keep(inner));
        let copied = Object::from(inner.to_pairs());
        assert_eq!(Document::from(&Json::Null).keep(inner), copied, "of another document it is a copy");
        let Some(View::Object(empty)) = root.get("d") else { panic!("an object") };
        assert_eq!((document.keep(empty), empty.is_empty()), (Object::default(), true));
        drop(document);
        assert_eq!(kept, copied);
        assert_ne!(kept, all);
        assert_eq!(kept.get("f"), copied.get("f"));
        assert_eq!((kept.get("g"), kept.is_empty()), (None, false));
        assert!(matches!(all.get("h"), Some(View::String("i"))) && all.iter().count() == 4);
        assert_ne!(Object::from(vec![("a".into(), Json::Int(1)), ("b".into(), Json::Int(2))]), {
            Object::from(vec![("b".into(), Json::Int(2)), ("a".into(), Json::Int(1))])
        });
    }

    #[test]
    fn two_underscores_are_noticed_however_the_text_is_spelled() {
        for (text, noticed) in [
            (r#"{"a":1}"#, false),
            (r#"{"_a":"a__"}"#, false),
            (r#"{"__a":1}"#, true),
            (r#"{"a":["__b"]}"#, true),
            (r#"{"\u005f_a":1}"#, true),
            (r#"{"x":1.5,"y":{"__z":2}}"#, true),
        ] {
            assert_eq!(Document::parse(text.as_bytes()).unwrap().is_underscored(), noticed, "{text}");
        }
    }
}
