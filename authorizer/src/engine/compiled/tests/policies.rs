//! Random policies: mostly of fitting types, sometimes not, over names that requests have.

use rand::RngExt;
use rand::rngs::StdRng;

/// Under this schema and without it the same policies are asked.
pub const SCHEMA: &str = r#"
namespace NS { entity Thing = { "n"?: Long, "e"?: User, "s"?: String } tags Long; }
type Inner = { "n"?: Long, "s": String, "r"?: { "n": Long, "b"?: Bool } };
entity Group in [Group];
entity User in [Group, NS::Thing] = {
    "n": Long, "m"?: Long, "s"?: String, "b"?: Bool, "e"?: User, "t"?: NS::Thing, "set"?: Set<Long>, "texts"?: Set<String>, "users"?: Set<User>,
    "r"?: Inner, "rs"?: Set<Inner>, "d"?: decimal, "w"?: datetime, "u"?: duration, "ip"?: ipaddr, "color"?: Color
} tags String;
entity Doc in [Group] = { "n"?: Long, "s"?: String, "owner"?: User, "act"?: Action, "d"?: decimal, "w"?: datetime, "r"?: Inner, "sets"?: Set<Set<Long>> };
entity Color enum ["red", "green"];
action "touch"; action "all"; action "group" in ["all"];
action "read" in ["touch", "group"] appliesTo { principal: User, resource: [Doc, User], context: {
    "n"?: Long, "s"?: String, "b"?: Bool, "r"?: Inner, "w"?: datetime, "ip"?: ipaddr, "e"?: User, "set"?: Set<Long>,
    "action"?: { "pages": Long, "s"?: String }, "interlock": { "evaluated_at": datetime, "realm": String }
} };
action "write" in ["touch"] appliesTo { principal: [User, Group, Color], resource: [Doc, Group, NS::Thing], context: { "n": Long, "action": Inner } };
action "plain" appliesTo { principal: [User, NS::Thing], resource: [User, NS::Thing, Color] };"#;

/// The same entities in both.
pub const ENTITIES: &str = r#"[
    {"uid":{"type":"User","id":"reg"},"attrs":{"n":7,"e":{"__entity":{"type":"User","id":"chief"}},"r":{"s":"a","r":{"n":1}},
      "w":{"__extn":{"fn":"datetime","arg":"2024-01-01"}},"d":{"__extn":{"fn":"decimal","arg":"1.50"}}},
      "parents":[{"type":"Group","id":"g"}],"tags":{"s":"ab","n":"1"}},
    {"uid":{"type":"User","id":"chief"},"attrs":{"n":9,"set":[1,2,3],"texts":["a","ab"],"t":{"__entity":{"type":"NS::Thing","id":"x"}},
      "ip":{"__extn":{"fn":"ip","arg":"10.0.0.0/8"}},"u":{"__extn":{"fn":"duration","arg":"1h"}}},"parents":[{"type":"NS::Thing","id":"x"}]},
    {"uid":{"type":"User","id":"ghostly"},"attrs":{"n":0,"e":{"__entity":{"type":"User","id":"nobody"}}},"parents":[]},
    {"uid":{"type":"NS::Thing","id":"x"},"attrs":{"n":3,"e":{"__entity":{"type":"User","id":"reg"}}},"parents":[],"tags":{"n":5}},
    {"uid":{"type":"Doc","id":"d"},"attrs":{"owner":{"__entity":{"type":"User","id":"reg"}},"sets":[[1],[],[1,2]]},"parents":[{"type":"Group","id":"top"}]},
    {"uid":{"type":"Group","id":"g"},"attrs":{},"parents":[{"type":"Group","id":"top"}]},
    {"uid":{"type":"Group","id":"top"},"attrs":{},"parents":[]}]"#;

const ENTITY: [&str; 16] = [
    r#"User::"reg""#,
    r#"User::"chief""#,
    r#"User::"u1""#,
    r#"User::"ghostly""#,
    r#"User::"nobody""#,
    r#"Group::"g""#,
    r#"Group::"top""#,
    r#"NS::Thing::"x""#,
    r#"NS::Thing::"y""#,
    r#"Doc::"d""#,
    r#"Doc::"u2""#,
    r#"Color::"red""#,
    r#"Action::"read""#,
    r#"Action::"touch""#,
    r#"Action::"all""#,
    r#"Ghost::"g""#,
];
const KINDS: [&str; 7] = ["User", "Group", "NS::Thing", "Doc", "Color", "Action", "Ghost"];
const VARIABLES: [&str; 4] = ["principal", "resource", "context", "action"];
const PATTERNS: [&str; 8] = ["*", "a*", "*b", "a*b*", "", "ab", "*a*a*", "\\**"];
const TEXTS: [&str; 6] = ["a", "ab", "abba", "", "\u{e9}", "n"];

/// What an expression should be.
#[derive(Clone, Copy)]
enum Of {
    Bool,
    Long,
    Text,
    Entity,
    Longs,
    Set,
    Record,
    Decimal,
    Datetime,
    Duration,
    Ip,
}

const ALL: [Of; 11] = [
    Of::Bool,
    Of::Long,
    Of::Text,
    Of::Entity,
    Of::Longs,
    Of::Set,
    Of::Record,
    Of::Decimal,
    Of::Datetime,
    Of::Duration,
    Of::Ip,
];

/// A policy's text.
pub fn policy(rng: &mut StdRng, permits: bool) -> String {
    let mut writer = Writer { rng };
    let principal = writer.scope("principal");
    let resource = writer.scope("resource");
    let action = match writer.below(8) {
        0 => r#" == Action::"read""#,
        1 => r#" == Action::"plain""#,
        2 => r#" in Action::"touch""#,
        3 => r#" in [Action::"write", Action::"all", Action::"group"]"#,
        4 => " in []",
        _ => "",
    };
    let effect = if permits { "permit" } else { "forbid" };
    let mut text = format!("{effect} (principal{principal}, action{action}, resource{resource})");
    for _ in 0..writer.below(3) {
        let word = if writer.below(4) == 0 { "unless" } else { "when" };
        let condition = writer.write(Of::Bool, 4);
        text.push_str(&format!(" {word} {{ {condition} }}"));
    }
    text + ";"
}

struct Writer<'a> {
    rng: &'a mut StdRng,
}

impl Writer<'_> {
    fn below(&mut self, most: usize) -> usize {
        self.rng.random_range(0..most)
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn scope(&mut self, variable: &str) -> String {
        let entity = if variable == "principal" { self.of(&ENTITY[..8]) } else { self.of(&ENTITY[4..11]) };
        let kind = self.of(&KINDS[..5]);
        match self.below(14) {
            0 => format!(" == {entity}"),
            1 | 2 => format!(" in {entity}"),
            3 => format!(" is {kind}"),
            4 => format!(" is {kind} in {entity}"),
            _ => String::new(),
        }
    }

    /// An expression, rarely of another type.
    fn write(&mut self, of: Of, depth: usize) -> String {
        let of = if self.below(40) == 0 { self.of(&ALL) } else { of };
        if depth == 0 || self.below(5) == 0 {
            return self.leaf(of);
        }
        let depth = depth - 1;
        if self.below(16) == 0 {
            let (test, then, other) = (self.write(Of::Bool, depth), self.write(of, depth), self.write(of, depth));
            return format!("(if {test} then {then} else {other})");
        }
        match of {
            Of::Bool => self.boolean(depth),
            Of::Long => self.long(depth),
            Of::Text => self.leaf(of),
            Of::Entity => format!("{}.{}", self.write(Of::Entity, depth), self.of(&["e", "t", "owner"])),
            Of::Longs => {
                let items: Vec<String> = (0..self.below(4)).map(|_| self.write(Of::Long, depth)).collect();
                format!("[{}]", items.join(", "))
            }
            Of::Set => {
                let of = self.of(&ALL);
                let items: Vec<String> = (0..self.below(4)).map(|_| self.write(of, depth)).collect();
                format!("[{}]", items.join(", "))
            }
            Of::Record => {
                let (n, s) = (self.write(Of::Long, depth), self.write(Of::Text, depth));
                if self.below(2) == 0 { format!("{{n: {n}, s: {s}}}") } else { format!("{{s: {s}, r: {{n: {n}}}}}") }
            }
            Of::Decimal => self.leaf(of),
            Of::Datetime => match self.below(3) {
                0 => format!("{}.offset({})", self.write(Of::Datetime, depth), self.write(Of::Duration, depth)),
                1 => format!("{}.toDate()", self.write(Of::Datetime, depth)),
                _ => self.leaf(of),
            },
            Of::Duration => match self.below(3) {
                0 => format!("{}.durationSince({})", self.write(Of::Datetime, depth), self.write(Of::Datetime, depth)),
                1 => format!("{}.toTime()", self.write(Of::Datetime, depth)),
                _ => self.leaf(of),
            },
            Of::Ip => self.leaf(of),
        }
    }

    fn boolean(&mut self, depth: usize) -> String {
        let any = self.of(&ALL);
        let two = |writer: &mut Self, of: Of| (writer.write(of, depth), writer.write(of, depth));
        match self.below(26) {
            0..=3 => {
                let many = 2 + self.below(3);
                let parts: Vec<String> = (0..many).map(|_| self.write(Of::Bool, depth)).collect();
                format!("({})", parts.join(if self.below(2) == 0 { " && " } else { " || " }))
            }
            4 => format!("!({})", self.write(Of::Bool, depth)),
            5..=7 => {
                let (one, other) = two(self, any);
                let operator = self.of(&["==", "!="]);
                format!("({one} {operator} {other})")
            }
            8..=10 => {
                let of = self.of(&[Of::Long, Of::Long, Of::Datetime, Of::Duration]);
                let (one, other) = two(self, of);
                let operator = self.of(&["<", "<=", ">", ">="]);
                format!("({one} {operator} {other})")
            }
            11 => {
                let (one, other) = two(self, Of::Entity);
                format!("({one} in {other})")
            }
            12 => {
                let (one, other) = (self.write(Of::Entity, depth), self.write(Of::Set, depth));
                format!("({one} in {other})")
            }
            13 => {
                let (one, [a, b, c]) = (self.write(Of::Entity, depth), [0; 3].map(|_| self.of(&ENTITY)));
                format!("({one} in [{a}, {b}, {c}])")
            }
            14 => format!("({} is {})", self.write(Of::Entity, depth), self.of(&KINDS)),
            15 => {
                let (one, kind, other) =
                    (self.write(Of::Entity, depth), self.of(&KINDS), self.write(Of::Entity, depth));
                format!("({one} is {kind} in {other})")
            }
            16 | 17 => {
                let of = self.of(&[Of::Entity, Of::Entity, Of::Record]);
                let one = if self.below(2) == 0 { self.of(&VARIABLES).to_owned() } else { self.write(of, depth) };
                let path = self.of(&[
                    "n",
                    "s",
                    "e",
                    "r",
                    "w",
                    "nothing",
                    "r.n",
                    "r.r.n",
                    "e.n",
                    "e.e.n",
                    "e.t.n",
                    "s.n",
                    "t.e.r.s",
                    "owner.r.r",
                ]);
                format!("({one} has {path})")
            }
            18 => format!("({} like \"{}\")", self.write(Of::Text, depth), self.of(&PATTERNS)),
            19 => {
                let (set, item) = (self.write(Of::Longs, depth), self.write(Of::Long, depth));
                format!("{set}.contains({item})")
            }
            20 => {
                let of = self.of(&[Of::Longs, Of::Set]);
                let (one, other) = two(self, of);
                format!("{one}.{}({other})", self.of(&["containsAll", "containsAny", "contains"]))
            }
            21 => format!("{}.isEmpty()", self.write(Of::Set, depth)),
            22 => {
                let (one, other) = (self.write(Of::Entity, depth), self.write(Of::Text, depth));
                if self.below(2) == 0 {
                    format!("{one}.hasTag({other})")
                } else {
                    format!("({one}.getTag({other}) == {other})")
                }
            }
            23 => {
                let (one, other) = two(self, Of::Decimal);
                let method = self.of(&["lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"]);
                format!("{one}.{method}({other})")
            }
            24 => {
                let (one, other) = two(self, Of::Ip);
                format!("{one}.isInRange({other})")
            }
            _ => format!(
                "{}.{}()",
                self.write(Of::Ip, depth),
                self.of(&["isIpv4", "isIpv6", "isLoopback", "isMulticast"])
            ),
        }
    }

    fn long(&mut self, depth: usize) -> String {
        match self.below(6) {
            0 => format!("-({})", self.write(Of::Long, depth)),
            1 => {
                let method = self.of(&["toMilliseconds", "toSeconds", "toMinutes", "toHours", "toDays"]);
                format!("{}.{method}()", self.write(Of::Duration, depth))
            }
            2 | 3 => {
                let operator = self.of(&["+", "-", "*"]);
                format!("({} {operator} {})", self.write(Of::Long, depth), self.write(Of::Long, depth))
            }
            _ => self.leaf(Of::Long),
        }
    }

    /// A constant, or an attribute of that type.
    fn leaf(&mut self, of: Of) -> String {
        let constant = self.below(3) == 0;
        let variable = self.of(&VARIABLES[..3]);
        let path = |path: &str| format!("{variable}.{path}");
        match of {
            Of::Bool if constant => self.of(&["true", "false"]).to_owned(),
            Of::Bool => path(self.of(&["b", "b", "r.r.b"])),
            Of::Long if constant => {
                self.of(&["0", "1", "2", "3", "7", "9223372036854775807", "-9223372036854775808", "-1"]).to_owned()
            }
            Of::Long => path(self.of(&["n", "n", "m", "r.n", "e.n", "t.n", "action.pages", "owner.n"])),
            Of::Text if constant => format!("{:?}", self.of(&TEXTS)),
            Of::Text => path(self.of(&["s", "s", "r.s", "e.s", "action.s", "interlock.realm"])),
            Of::Entity => match self.below(6) {
                0 => self.of(&ENTITY).to_owned(),
                1 => path("e"),
                2 => "resource.owner".to_owned(),
                3 => "action".to_owned(),
                _ => self.of(&["principal", "resource"]).to_owned(),
            },
            Of::Longs if constant => self.of(&["[]", "[1]", "[1, 2, 2]", "[2, 1]", "[3, 7, 1]"]).to_owned(),
            Of::Longs => path("set"),
            Of::Set if constant => self
                .of(&[
                    "[]",
                    r#"["a", "ab"]"#,
                    "[[1], []]",
                    "[1, \"a\", true]",
                    r#"[{s: "a", r: {n: 1}}]"#,
                    r#"[User::"reg", Group::"g"]"#,
                ])
                .to_owned(),
            Of::Set => path(self.of(&["texts", "users", "rs", "sets", "set"])),
            Of::Record if constant => {
                self.of(&["{}", r#"{s: "a"}"#, r#"{r: {n: 1}, s: "a"}"#, r#"{"n": 1, "s": ""}"#]).to_owned()
            }
            Of::Record => {
                if self.below(4) == 0 {
                    "context".to_owned()
                } else {
                    path(self.of(&["r", "action", "interlock"]))
                }
            }
            Of::Decimal if constant => format!("decimal({:?})", self.of(&["1.5", "0.0", "-0.5", "1.5000", "1.50001"])),
            Of::Decimal => path("d"),
            Of::Datetime if constant => {
                format!(
                    "datetime({:?})",
                    self.of(&["2024-01-01", "1969-12-31T23:59:59.999Z", "2024-05-15T15:00:00Z", "2024-13-01"])
                )
            }
            Of::Datetime => path(self.of(&["w", "interlock.evaluated_at"])),
            Of::Duration if constant => {
                format!("duration({:?})", self.of(&["1h", "-1ms", "60m", "-9223372036854775808ms", "1x"]))
            }
            Of::Duration => path("u"),
            Of::Ip if constant => {
                format!("ip({:?})", self.of(&["10.0.0.0/8", "10.1.2.3", "::1", "127.0.0.1", "10.0.0.1/33"]))
            }
            Of::Ip => path("ip"),
        }
    }
}
