//! How deep a text may be before Cedar sees it.
//!
//! Cedar's parser, its conversions and its transitive closure recurse once for each level of their input and ask for no stack: 458 bytes
//! of parentheses ended a server. So every text of an epoch is measured first, by one scanner that recurses never, and what is then built
//! is built on a thread with room to spare ([`roomy`]).
//!
//! Two numbers are bounded: how many brackets are open at once, and how many operators lie on one way from the root of an expression to
//! a leaf. `a && b && c` nests once for each operator, as do attribute accesses, `if` and clauses; a comma begins anew. Counted is what could
//! be an operator, so a text may be refused that Cedar would nest less.
//!
//! Guarantees: whatever passes is parsed, validated, evaluated and dropped within half of its stack; a test holds the deepest shapes
//! against it. That matters twice where it is evaluated: Cedar answers an error there when less than 100 KiB are left, and a verdict must
//! not depend on where it is computed. Does not: say whether a text is Cedar, nor bound what a schema's common types expand to.

use std::borrow::Cow;
use std::collections::HashMap;
use std::thread;

use serde::Deserialize;

use super::findings::{Finding, FindingCode, Part, Position};

/// Brackets open at once. Nobody reads deeper; one costs the parser 15 KiB of stack.
pub const MAX_NESTING: usize = 32;
/// Operators on one way through an expression: longer lists of alternatives are sets. One costs the evaluator 4 KiB of stack, of which a
/// worker has 2 MiB; in a debug build it gave up above 470.
pub const MAX_OPERATORS: usize = 200;
/// The words `in` and `type` in a schema, each: a chain of groups or of common types has no more links, and each link recurses.
pub const MAX_SCHEMA_LINKS: usize = 1_000;
/// Ancestors of a registered entity on one way up: organisations are not deeper, and each recurses.
pub const MAX_ANCESTRY: usize = 64;
/// The stack of a thread that parses and validates: dozens of times what the limits above need.
const STACK: usize = 64 << 20;

/// Runs what recurses on a thread that has the stack for it.
pub(super) fn roomy<T: Send, E: From<Finding> + Send>(work: impl FnOnce() -> Result<T, E> + Send) -> Result<T, E> {
    let failed = |why: String| E::from(Finding::new(FindingCode::NotChecked, Part::Policies, why));
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("publish".to_owned()).stack_size(STACK);
        let thread = thread.spawn_scoped(scope, work).map_err(|error| failed(format!("no thread: {error}")))?;
        thread.join().unwrap_or_else(|_| Err(failed("the check did not end".to_owned())))
    })
}

/// Measures a policy, or a file of them.
pub(super) fn policies(text: &str, part: &Part) -> Result<(), Finding> {
    Scanner::new(text, part, Language::Policy).run()
}

/// Measures a schema.
pub(super) fn schema(text: &str) -> Result<(), Finding> {
    Scanner::new(text, &Part::Schema, Language::Schema).run()
}

/// Measures registered entities: their values, and the longest way up.
pub(super) fn entities(text: &str) -> Result<(), Finding> {
    Scanner::new(text, &Part::Entities, Language::Json).run()?;
    ancestry(text)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Policy,
    Schema,
    Json,
}

/// The expression inside one pair of brackets, so far; heights count the operators on the longest way down.
#[derive(Debug, Default, Clone, Copy)]
struct Frame {
    /// `if`s and clauses: each holds all that follows.
    around: usize,
    ors: usize,
    ands: usize,
    /// All other operators since the last `&&`.
    others: usize,
    /// The highest bracket that was closed since the last `&&`.
    inner: usize,
    /// The highest operand of `&&` since the last `||`.
    under_and: usize,
    /// The highest operand of `||` since the last `then` or `else`.
    under_or: usize,
    /// The highest branch before the last `then` or `else`.
    branch: usize,
    /// The highest before the last comma.
    before: usize,
}

impl Frame {
    fn operand(self) -> usize {
        self.under_and.max(self.others + self.inner)
    }

    fn alternative(self) -> usize {
        self.under_or.max(self.ands + self.operand())
    }

    fn height(self) -> usize {
        self.around + self.branch.max(self.ors + self.alternative())
    }

    fn most(self) -> usize {
        self.before.max(self.height())
    }

    /// Enters an operator, or leaves what it separates.
    fn operator(&mut self, operator: Operator) {
        let Self { around, ors, ands, before, .. } = *self;
        *self = match operator {
            Operator::Other => Self { others: self.others + 1, ..*self },
            Operator::Access => Self { others: self.others + 2, ..*self },
            Operator::And => Self { ands: ands + 1, under_and: self.operand(), others: 0, inner: 0, ..*self },
            Operator::Or => {
                let under_or = self.alternative();
                Self { around, ors: ors + 1, under_or, branch: self.branch, before, ..Self::default() }
            }
            Operator::Around => Self { around: around + 1, ..*self },
            Operator::Branch => {
                let branch = self.branch.max(ors + self.alternative());
                Self { around, branch, before, ..Self::default() }
            }
            Operator::Comma => Self { before: self.most(), ..Self::default() },
        }
    }
}

/// What the height of an expression depends on.
#[derive(Debug, Clone, Copy)]
enum Operator {
    /// `&&`
    And,
    /// `||`
    Or,
    /// `if`, `when`, `unless`
    Around,
    /// `then`, `else`
    Branch,
    /// `,`
    Comma,
    /// `.`; counts twice, since `has a.b` stands for two tests of which the second holds an access.
    Access,
    /// Everything else that could be an operator: arithmetic, comparison, path.
    Other,
}

struct Scanner<'a> {
    text: &'a str,
    part: &'a Part,
    language: Language,
    at: usize,
    outer: Vec<Frame>,
    frame: Frame,
    links: HashMap<&'a str, usize>,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str, part: &'a Part, language: Language) -> Self {
        let (outer, frame, links) = (Vec::new(), Frame::default(), HashMap::new());
        Self { text, part, language, at: 0, outer, frame, links }
    }

    fn run(mut self) -> Result<(), Finding> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at).copied() {
            let start = self.at;
            let rest = bytes.get(start..).unwrap_or_default();
            self.at += match byte {
                b'"' => string(rest),
                b'/' if self.language != Language::Json && rest.starts_with(b"//") => comment(rest),
                b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {
                    rest.iter().take_while(|byte| **byte == b'_' || byte.is_ascii_alphanumeric()).count()
                }
                _ => 1,
            };
            match (byte, self.language) {
                (b'(' | b'[' | b'{', _) | (b'<', Language::Schema) => self.open(start)?,
                (b')' | b']' | b'}', _) | (b'>', Language::Schema) => self.close(start)?,
                (b',', _) => self.operator(start, Operator::Comma)?,
                // Inside brackets it separates nothing.
                (b';', _) if self.outer.is_empty() => self.frame = Frame::default(),
                (b'_' | b'a'..=b'z' | b'A'..=b'Z', Language::Policy | Language::Schema) => self.word(start)?,
                (b'&' | b'|', Language::Policy) if rest.get(1) == Some(&byte) => {
                    self.at += 1;
                    self.operator(start, if byte == b'&' { Operator::And } else { Operator::Or })?;
                }
                (b'=' | b'!' | b'<' | b'>' | b':', Language::Policy) => {
                    // `==`, `!=`, `<=`, `>=`, `::`
                    self.at += usize::from(matches!(rest.get(1), Some(b'=')) || rest.starts_with(b"::"));
                    self.operator(start, Operator::Other)?;
                }
                (b'.', Language::Policy) => self.operator(start, Operator::Access)?,
                (b'-' | b'+' | b'*' | b'%', Language::Policy) => self.operator(start, Operator::Other)?,
                (b'/', Language::Policy) if self.at == start + 1 => self.operator(start, Operator::Other)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn open(&mut self, at: usize) -> Result<(), Finding> {
        self.outer.push(std::mem::take(&mut self.frame));
        if self.outer.len() > MAX_NESTING {
            return Err(self.too_deep(at, format!("more than {MAX_NESTING} brackets are open at once")));
        }
        Ok(())
    }

    fn close(&mut self, at: usize) -> Result<(), Finding> {
        // One bracket too many is for the parser to refuse.
        let Some(outer) = self.outer.pop() else { return Ok(()) };
        self.frame = Frame { inner: outer.inner.max(self.frame.most()), ..outer };
        self.check(at)
    }

    fn word(&mut self, at: usize) -> Result<(), Finding> {
        let word = self.text.get(at..self.at).unwrap_or_default();
        match (self.language, word) {
            (Language::Policy, "if" | "when" | "unless") => self.operator(at, Operator::Around),
            (Language::Policy, "then" | "else") => self.operator(at, Operator::Branch),
            (Language::Policy, "in" | "has" | "like" | "is") => self.operator(at, Operator::Other),
            (Language::Schema, "in" | "type") => {
                let links = self.links.entry(word).or_default();
                *links += 1;
                if *links > MAX_SCHEMA_LINKS {
                    return Err(self.too_deep(at, format!("more than {MAX_SCHEMA_LINKS} times the word `{word}`")));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn operator(&mut self, at: usize, operator: Operator) -> Result<(), Finding> {
        self.frame.operator(operator);
        self.check(at)
    }

    fn check(&self, at: usize) -> Result<(), Finding> {
        if self.frame.height() > MAX_OPERATORS {
            let message =
                format!("more than {MAX_OPERATORS} operators, accesses, branches or clauses inside one another");
            return Err(self.too_deep(at, message));
        }
        Ok(())
    }

    fn too_deep(&self, at: usize, message: String) -> Finding {
        Finding::new(FindingCode::TooDeep, self.part.clone(), message).at(Position::of(self.text, at))
    }
}

/// Bytes of a string that begins here; one that never ends reaches to the end of the text, and no parser reads on behind it.
fn string(rest: &[u8]) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.iter().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return at + 1,
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// Bytes of a comment that begins here; a carriage return ends it too.
fn comment(rest: &[u8]) -> usize {
    rest.iter().take_while(|byte| !matches!(byte, b'\n' | b'\r')).count()
}

/// An entity's name as Cedar's JSON writes it, with its escape or without.
#[derive(Deserialize)]
struct Uid<'a> {
    #[serde(borrow, rename = "__entity")]
    escaped: Option<Name<'a>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
}

#[derive(Deserialize, PartialEq, Eq, Hash)]
struct Name<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
}

impl<'a> Uid<'a> {
    fn name(self) -> Option<Name<'a>> {
        match self.escaped {
            Some(name) => Some(name),
            None => Some(Name { kind: self.kind?, id: self.id? }),
        }
    }
}

#[derive(Deserialize)]
struct Entity<'a> {
    #[serde(borrow)]
    uid: Uid<'a>,
    #[serde(borrow, default)]
    parents: Vec<Uid<'a>>,
}

#[derive(Debug, Default, Clone)]
struct Node {
    children: Vec<usize>,
    /// Parents that are not settled yet.
    above: usize,
}

/// Refuses a way up that is too long, or has no end; entities are taken off from the top, so nothing recurses.
fn ancestry(text: &str) -> Result<(), Finding> {
    let invalid = |message: &str| Finding::new(FindingCode::EntitiesInvalid, Part::Entities, message);
    let entities: Vec<Entity<'_>> = match serde_json::from_str(text) {
        Ok(entities) => entities,
        // What is no JSON is refused before anything is made of it, and better explained, by Cedar.
        Err(error) if error.is_syntax() || error.is_eof() => return Ok(()),
        Err(error) => {
            let at = Position { line: error.line(), column: error.column() };
            return Err(invalid(&error.to_string()).at(at));
        }
    };
    let unnamed = || invalid("an entity's name is `{\"type\", \"id\"}`");
    let mut numbers: HashMap<Name<'_>, usize> = HashMap::with_capacity(entities.len());
    let mut listed = Vec::with_capacity(entities.len());
    for Entity { uid, parents } in entities {
        let next = numbers.len();
        // Cedar accepts an entity twice if it says the same twice.
        listed.push((*numbers.entry(uid.name().ok_or_else(unnamed)?).or_insert(next), parents));
    }
    let mut nodes: Vec<Node> = vec![Node::default(); numbers.len()];
    for (child, parents) in listed {
        for parent in parents {
            // A parent that is not registered has no parents itself.
            let Some(parent) = numbers.get(&parent.name().ok_or_else(unnamed)?) else { continue };
            if let Some(node) = nodes.get_mut(*parent) {
                node.children.push(child);
            }
            if let Some(node) = nodes.get_mut(child) {
                node.above += 1;
            }
        }
    }
    let mut layer: Vec<usize> =
        (0..).zip(&nodes).filter(|(_, node)| node.above == 0).map(|(number, _)| number).collect();
    let (mut settled, mut depth) = (layer.len(), 0);
    while !layer.is_empty() {
        let mut next = Vec::new();
        for parent in layer {
            let children = nodes.get_mut(parent).map(|node| std::mem::take(&mut node.children)).unwrap_or_default();
            for child in children {
                if let Some(node) = nodes.get_mut(child) {
                    node.above -= 1;
                    if node.above == 0 {
                        next.push(child);
                    }
                }
            }
        }
        settled += next.len();
        depth += usize::from(!next.is_empty());
        if depth > MAX_ANCESTRY {
            let message = format!("an entity has more than {MAX_ANCESTRY} ancestors on one way up");
            return Err(Finding::new(FindingCode::TooDeep, Part::Entities, message));
        }
        layer = next;
    }
    if settled < nodes.len() {
        return Err(invalid("an entity is its own ancestor"));
    }
    Ok(())
}
