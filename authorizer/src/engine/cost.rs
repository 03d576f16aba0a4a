//! What a stranger's policies may cost before anything is made of them.
//!
//! Why: an administrator's epoch may be as large as it has to be. What anybody may send to the sandbox (threat 25) must not take memory or
//! minutes: a schema of a few hundred bytes can spell a type of a billion fields (each common type holds the one before it twice), or a
//! million pairs of principals and resources, for each of which Cedar checks every policy.
//!
//! Guarantees: whatever passes expands to at most [`MAX_EXPANDED`] words, declares at most [`MAX_NAMES`] names, and is validated in at most
//! [`MAX_VALIDATION`] bytes of policy, summed over all that its actions apply to. Counted is what could be written out, so a schema may be
//! refused that Cedar would share. Does not: say whether a text is a schema; nor bound evaluation, which has no loops: that is bounded by
//! the bytes of policies and request.

use std::collections::HashMap;

use verifier::epoch::EpochContent;

use super::findings::{Finding, FindingCode, Part};
use super::types::Types;

/// Words of a schema once every common type stands where it is named and every declaration of several names is written for each of them. Our
/// own largest sample has 1,200.
pub const MAX_EXPANDED: usize = 16_384;
/// Names that a schema declares: the hierarchies of types and of actions are closed over all pairs.
pub const MAX_NAMES: usize = 128;
/// Bytes of policies times the triples of principal type, action and resource type that they are validated for: less than a second in a debug
/// build for the shapes that cost Cedar most (long chains of `has`).
pub const MAX_VALIDATION: usize = 256 * 1024;

/// Refuses what would cost too much to validate.
pub(super) fn measured(content: &EpochContent) -> Result<(), Vec<Finding>> {
    let Some(schema) = &content.schema else { return Ok(()) };
    let refused = |why: String| vec![Finding::new(FindingCode::TooCostly, Part::Schema, why)];
    let Written { names, expanded } = Written::of(schema);
    if names > MAX_NAMES {
        return Err(refused(format!("the schema declares {names} names; at most {MAX_NAMES} are taken here")));
    }
    if expanded > MAX_EXPANDED {
        let why = format!(
            "written out, the schema has more than {MAX_EXPANDED} words: common types within common types multiply"
        );
        return Err(refused(why));
    }
    let types = Types::of(schema)?;
    let triples = types.actions.values().map(|action| action.principals.len().saturating_mul(action.resources.len()));
    let triples = triples.fold(0, usize::saturating_add);
    let policies: usize = content.policies.iter().map(|(_, text)| text.len()).sum();
    if triples.saturating_mul(policies) > MAX_VALIDATION {
        let why = format!(
            "the actions apply to {triples} pairs of principal and resource; with {policies} bytes of policies that is more than is validated here"
        );
        return Err(refused(why));
    }
    Ok(())
}

/// How much a schema comes to.
struct Written {
    names: usize,
    expanded: usize,
}

impl Written {
    fn of(schema: &str) -> Self {
        let words = words(schema);
        let declarations: Vec<Declaration<'_>> = words.split(|word| *word == ";").filter_map(Declaration::of).collect();
        let mut common: HashMap<&str, Vec<&[&str]>> = HashMap::new();
        for declaration in declarations.iter().filter(|declaration| declaration.keyword == "type") {
            declaration.names.iter().for_each(|name| common.entry(name).or_default().push(declaration.body));
        }
        let mut weights = HashMap::new();
        let mut expanded = 0_usize;
        for declaration in &declarations {
            let once = weigh(declaration.body, &common, &mut weights, 0);
            expanded = expanded.saturating_add(once.saturating_add(1).saturating_mul(declaration.names.len().max(1)));
        }
        Written { names: declarations.iter().map(|declaration| declaration.names.len()).sum(), expanded }
    }
}

/// `entity A, B in C { … }`: the keyword, the names, and all that follows them.
struct Declaration<'a> {
    keyword: &'a str,
    names: Vec<&'a str>,
    body: &'a [&'a str],
}

impl<'a> Declaration<'a> {
    fn of(words: &'a [&'a str]) -> Option<Self> {
        let begin = words.iter().position(|word| matches!(*word, "entity" | "action" | "type"))?;
        let (keyword, rest) = words.get(begin..)?.split_first()?;
        // A name may be any word, also one of these; then more is counted as body, and nothing less.
        let ends = |word: &&str| matches!(*word, "in" | "=" | "{" | "appliesTo" | "enum" | "tags" | "attributes");
        let (names, body) = rest.split_at_checked(rest.iter().position(ends).unwrap_or(rest.len()))?;
        let names = names.split(|word| *word == ",").filter_map(|name| name.last().copied()).collect();
        Some(Declaration { keyword, names, body })
    }
}

/// Words of a body with every common type in its place. `depth` only bounds our own recursion: a chain of types as long as all names.
fn weigh<'a>(
    body: &'a [&'a str],
    common: &HashMap<&'a str, Vec<&'a [&'a str]>>,
    weights: &mut HashMap<&'a str, usize>,
    depth: usize,
) -> usize {
    if depth > MAX_NAMES {
        return MAX_EXPANDED + 1;
    }
    let mut sum = 0_usize;
    for word in body {
        let Some(bodies) = common.get(word) else {
            sum = sum.saturating_add(1);
            continue;
        };
        let weight = match weights.get(word) {
            Some(weight) => *weight,
            None => {
                // Until it is known, it is too much: a type that holds itself is no type.
                weights.insert(*word, MAX_EXPANDED + 1);
                let each = bodies.iter().map(|body| weigh(body, common, weights, depth + 1));
                let weight = each.fold(1, usize::saturating_add);
                weights.insert(*word, weight);
                weight
            }
        };
        sum = sum.saturating_add(weight);
    }
    sum
}

/// Names, strings and signs, without comments and white space; a string stands without its quotes.
fn words(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '"' => string_length(rest),
            c if is_name(c) => rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (word, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if !word.starts_with("//") && !first.is_whitespace() {
            found.push(word.strip_prefix('"').map_or(word, |inner| inner.strip_suffix('"').unwrap_or(inner)));
        }
        rest = behind;
    }
    found
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Bytes of a string with its quotes.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(schema: &str) -> Result<(), String> {
        let policies = vec![("a".to_owned(), "@id(\"a\") permit(principal, action, resource);".to_owned())];
        let content = EpochContent { policies, schema: Some(schema.into()), ..EpochContent::default() };
        measured(&content).map_err(|findings| findings[0].code.name().to_owned())
    }

    #[test]
    fn types_that_hold_each_other_twice_are_refused_before_cedar_writes_them_out() {
        let chain = |length: usize| {
            let mut text = "type T0 = { a: Long };\n".to_owned();
            (1..length).for_each(|n| text.push_str(&format!("type T{n} = {{ a: T{0}, b: T{0} }};\n", n - 1)));
            text
        };
        assert_eq!(judged(&chain(8)), Ok(()));
        assert_eq!(judged(&chain(40)), Err("too_costly".into()));
    }

    #[test]
    fn a_type_that_holds_itself_is_refused() {
        assert!(judged("type A = { b: B }; type B = { a: A }; entity E = { a: A };").is_err());
    }

    #[test]
    fn what_many_actions_share_counts_for_each_of_them() {
        let actions = |n: usize, principals: usize| {
            let names = |of: &str, n: usize| (0..n).map(|k| format!("{of}{k}")).collect::<Vec<_>>().join(", ");
            format!(
                "entity {p}; action {a} appliesTo {{ principal: [{p}], resource: [{p}] }};",
                p = names("P", principals),
                a = names("a", n)
            )
        };
        assert_eq!(judged(&actions(10, 10)), Ok(()));
        assert_eq!(judged(&actions(60, 60)), Err("too_costly".into()));
        assert_eq!(judged(&actions(1, 200)), Err("too_costly".into()));
    }

    #[test]
    fn comments_and_strings_are_read_as_such() {
        assert_eq!(words("a /b // ; c\n\"d;\\\" e\" f"), ["a", "/", "b", "d;\\\" e", "f"]);
        assert_eq!(words("\"open"), ["open"]);
        let Written { names, .. } =
            Written::of("// entity X;\nentity A, B in C; action \"do, it\" appliesTo { principal: A };");
        assert_eq!(names, 3);
    }

    #[test]
    fn our_own_samples_cost_little() {
        for name in ["hello", "airline", "agentdojo-banking", "agentdojo-workspace"] {
            let path = format!("{}/../testdata/policies/{name}/schema.cedarschema", env!("CARGO_MANIFEST_DIR"));
            let Written { names, expanded } = Written::of(&std::fs::read_to_string(path).unwrap());
            assert!(names * 2 < MAX_NAMES && expanded * 4 < MAX_EXPANDED, "{name}: {names} names, {expanded} words");
        }
    }
}
