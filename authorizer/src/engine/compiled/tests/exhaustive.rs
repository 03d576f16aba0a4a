//! All pairs of edge values, and all patterns of a small alphabet: random testing misses what only one value shows.

use serde_json::json;

use super::super::super::decide::Standing;
use super::Both;

const DECIMALS: [&str; 40] = [
    "0.0",
    "-0.0",
    "0.0000",
    "0.00000",
    "0.1",
    "-0.1",
    "-0.5",
    "0.5",
    "00.5",
    "-00.5",
    "1.0",
    "1.00",
    "1.2345",
    "-1.2345",
    "1.23456",
    "1",
    "1.",
    ".5",
    "-.5",
    "-",
    "+1.0",
    " 1.0",
    "1.0 ",
    "1,0",
    "1.0.0",
    "1e1",
    "1.-5",
    "1.+5",
    "",
    "922337203685477.5807",
    "922337203685477.5808",
    "-922337203685477.5808",
    "-922337203685477.5809",
    "922337203685478.0",
    "-922337203685478.0",
    "9223372036854775807.0",
    "9223372036854775808.0",
    "0.9999",
    "\u{0663}.0",
    "1.\u{0663}",
];

const DATETIMES: [&str; 60] = [
    "1970-01-01",
    "1970-01-02",
    "1969-12-31",
    "1969-12-31T23:59:59.999Z",
    "1969-12-31T00:00:00Z",
    "1968-02-29",
    "1900-02-29",
    "2000-02-29",
    "2023-02-29",
    "2024-02-29",
    "2024-02-30",
    "2024-03-01",
    "2100-02-28",
    "0000-01-01",
    "0000-02-29",
    "0001-01-01",
    "9999-12-31",
    "9999-12-31T23:59:59.999Z",
    "9999-12-31T23:59:59.999-2359",
    "0000-01-01T00:00:00+2359",
    "2024-00-10",
    "2024-13-10",
    "2024-04-31",
    "2024-12-00",
    "2024-12-32",
    "2024-06-30",
    "2024-11-31",
    "24-01-01",
    "2024-1-1",
    "02024-01-01",
    "2024-01-01T",
    "2024-01-01Z",
    "2024-01-01T00:00:00",
    "2024-01-01T00:00:00Z",
    "2024-01-01T00:00:00z",
    "2024-01-01t00:00:00Z",
    "2024-01-01 00:00:00Z",
    "2024-01-01T00:00Z",
    "2024-01-01T24:00:00Z",
    "2024-01-01T23:60:00Z",
    "2024-01-01T23:59:60Z",
    "2024-01-01T23:59:59.9Z",
    "2024-01-01T23:59:59.9999Z",
    "2024-01-01T23:59:59.999",
    "2024-01-01T23:59:59.Z",
    "2024-01-01T00:00:00+0000",
    "2024-01-01T00:00:00-0000",
    "2024-01-01T00:00:00+0130",
    "2024-01-01T00:00:00-0130",
    "2024-01-01T00:00:00+2400",
    "2024-01-01T00:00:00+0060",
    "2024-01-01T00:00:00+01:30",
    "2024-01-01T00:00:00+130",
    "2024-01-01T00:00:00.001+0001",
    "2024-01-01T00:00:00.000Z ",
    "\u{0662}024-01-01",
    "",
    "now",
    "1704067200000",
    "-2024-01-01",
];

const DURATIONS: [&str; 56] = [
    "0ms",
    "-0ms",
    "1ms",
    "-1ms",
    "999ms",
    "-999ms",
    "1000ms",
    "-1000ms",
    "-1001ms",
    "1s",
    "-1s",
    "59s",
    "60s",
    "-60s",
    "-61s",
    "1m",
    "-1m",
    "59m",
    "60m",
    "61m",
    "-59m",
    "-61m",
    "1h",
    "-1h",
    "23h",
    "24h",
    "25h",
    "-23h",
    "-25h",
    "1d",
    "-1d",
    "-2d",
    "1d2h3m4s5ms",
    "-1d2h3m4s5ms",
    "1d5ms",
    "1h1d",
    "1ms1s",
    "1m1m",
    "1m1ms",
    "5M",
    "1.5s",
    "1 s",
    "",
    "-",
    "--1s",
    "+1s",
    "s",
    "9223372036854775807ms",
    "9223372036854775808ms",
    "-9223372036854775808ms",
    "-9223372036854775809ms",
    "-9223372036854775s808ms",
    "106751991167d",
    "106751991168d",
    "18446744073709551616ms",
    "0d0h0m0s0ms",
];

const IPS: [&str; 60] = [
    "0.0.0.0",
    "0.0.0.0/0",
    "10.0.0.1",
    "10.0.0.1/32",
    "10.0.0.0/8",
    "10.1.2.3/8",
    "10.0.0.0/16",
    "10.0.0.0/31",
    "11.0.0.0/8",
    "9.255.255.255",
    "127.0.0.1",
    "127.0.0.1/8",
    "127.0.0.0/7",
    "127.255.255.255",
    "128.0.0.1",
    "126.255.255.255",
    "224.0.0.1",
    "224.0.0.0/4",
    "224.0.0.0/3",
    "239.255.255.255",
    "240.0.0.0",
    "255.255.255.255",
    "10.0.0.256",
    "10.0.0",
    "10.0.0.0.1",
    "10.0.0.01",
    "10.0.0.1/33",
    "10.0.0.1/08",
    "10.0.0.1/0",
    "10.0.0.1/00",
    "10.0.0.1/",
    "10.0.0.1/-1",
    "10.0.0.1/+8",
    "10.0.0.1/032",
    " 10.0.0.1",
    "10.0.0.1 ",
    "/8",
    "",
    "::",
    "::/0",
    "::1",
    "::1/128",
    "::1/127",
    "::2",
    "::ffff:10.0.0.1",
    "::10.0.0.1",
    "::ffff:a00:1",
    "ff00::",
    "ff00::/8",
    "ff00::/7",
    "ff02::1",
    "fe00::",
    "2001:db8::/32",
    "2001:db8::1",
    "2001:DB8::1",
    "2001:db8::1/129",
    "2001:db8::1/064",
    "1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7:8:9",
    "fe80::1%eth0",
];

/// Asks all pairs of texts; says how many policies were satisfied, and how many erred, in all.
fn all_pairs(texts: &[&str], conditions: &[&str]) -> (usize, usize) {
    let conditions: Vec<String> = conditions.iter().map(|condition| (*condition).to_owned()).collect();
    let both = Both::permits(&conditions);
    assert_eq!(both.left(), 0);
    let (mut satisfied, mut erred) = (0, 0);
    for a in texts {
        for b in texts {
            let answer = both.context(&json!({"a": a, "b": b}));
            satisfied += answer.policies.len();
            erred += answer.errors.len();
        }
    }
    (satisfied, erred)
}

fn both_happen((satisfied, erred): (usize, usize)) {
    assert!(satisfied > 100 && erred > 100, "{satisfied} satisfied, {erred} in error");
}

#[test]
fn every_pair_of_decimals_is_compared_as_cedar_does() {
    both_happen(all_pairs(
        &DECIMALS,
        &[
            "decimal(context.a) == decimal(context.b)",
            "decimal(context.a).lessThan(decimal(context.b))",
            "decimal(context.a).lessThanOrEqual(decimal(context.b))",
            "decimal(context.a).greaterThan(decimal(context.b))",
            "decimal(context.a).greaterThanOrEqual(decimal(context.b))",
            "decimal(context.a) < decimal(context.b)",
            "[decimal(context.a)].contains(decimal(context.b))",
            "decimal(context.a) == context.b",
            "decimal(context.a).lessThan(context.b)",
        ],
    ));
}

#[test]
fn every_pair_of_datetimes_is_compared_as_cedar_does() {
    both_happen(all_pairs(
        &DATETIMES,
        &[
            "datetime(context.a) == datetime(context.b)",
            "datetime(context.a) < datetime(context.b)",
            "datetime(context.a) <= datetime(context.b)",
            "datetime(context.a) > datetime(context.b)",
            "datetime(context.a) >= datetime(context.b)",
            "datetime(context.a).toDate() == datetime(context.b)",
            "datetime(context.a).toDate() == datetime(context.b).toDate()",
            "datetime(context.a).toTime() == datetime(context.b).toTime()",
            "datetime(context.a).toTime() < duration(\"1ms\")",
            "datetime(context.a).toTime() == duration(\"86399999ms\")",
            "datetime(context.a).durationSince(datetime(context.b)) > duration(\"1d\")",
            "datetime(context.b).offset(datetime(context.a).durationSince(datetime(context.b))) == datetime(context.a)",
            "datetime(context.a).lessThan(datetime(context.b))",
            "datetime(context.a) < duration(context.b)",
        ],
    ));
}

#[test]
fn every_pair_of_durations_is_compared_as_cedar_does() {
    both_happen(all_pairs(
        &DURATIONS,
        &[
            "duration(context.a) == duration(context.b)",
            "duration(context.a) < duration(context.b)",
            "duration(context.a) <= duration(context.b)",
            "duration(context.a) > duration(context.b)",
            "duration(context.a) >= duration(context.b)",
            "duration(context.a).toMilliseconds() == duration(context.b).toMilliseconds()",
            "duration(context.a).toSeconds() == duration(context.b).toMilliseconds()",
            "duration(context.a).toMinutes() == duration(context.b).toSeconds()",
            "duration(context.a).toHours() == duration(context.b).toMinutes()",
            "duration(context.a).toDays() == duration(context.b).toHours()",
            "datetime(\"1970-01-01\").offset(duration(context.a)) < datetime(\"1969-12-31\").offset(duration(context.b))",
            "datetime(\"1970-01-01\").offset(duration(context.a)).durationSince(datetime(\"1970-01-01\").offset(duration(context.b))) < duration(\"0ms\")",
            "datetime(\"1970-01-01\").offset(duration(context.a)).toDate() == datetime(\"1970-01-01\").offset(duration(context.b))",
            "datetime(\"1970-01-01\").offset(duration(context.a)).toTime() == duration(context.b)",
        ],
    ));
}

/// Random testing alone missed what only negative values show.
#[test]
fn durations_are_counted_towards_zero() {
    let counts = ["toMilliseconds", "toSeconds", "toMinutes", "toHours", "toDays"];
    let all: Vec<String> = counts
        .iter()
        .flat_map(|count| {
            let values = [-9_223_372_036_854_775_i64, -1_440, -60, -25, -24, -3, -2, -1, 0, 1, 2, 23, 24, 59, 60];
            values.map(|n| format!("duration(context.a).{count}() == {n}"))
        })
        .collect();
    let both = Both::permits(&all);
    let satisfied: usize = DURATIONS.iter().map(|a| both.context(&json!({"a": a})).policies.len()).sum();
    assert!(satisfied > 80, "{satisfied}");
}

#[test]
fn every_pair_of_addresses_is_compared_as_cedar_does() {
    both_happen(all_pairs(
        &IPS,
        &[
            "ip(context.a) == ip(context.b)",
            "ip(context.a).isInRange(ip(context.b))",
            "ip(context.a).isIpv4()",
            "ip(context.a).isIpv6()",
            "ip(context.a).isLoopback()",
            "ip(context.a).isMulticast()",
            "ip(context.a) < ip(context.b)",
            "ip(context.a).isInRange(context.b)",
            "[ip(context.a), ip(context.b)] == [ip(context.b)]",
        ],
    ));
}

/// What a constructor's constant text is, is known before the first request; it must be the same.
#[test]
fn constants_are_what_their_texts_are() {
    for (constructor, texts) in
        [("decimal", &DECIMALS[..]), ("datetime", &DATETIMES), ("duration", &DURATIONS), ("ip", &IPS)]
    {
        let conditions: Vec<String> = texts
            .iter()
            .flat_map(|text| {
                let text = format!("{text:?}");
                [
                    format!("{constructor}({text}) == {constructor}(context.a)"),
                    format!("false || {constructor}({text}) != 1"),
                ]
            })
            .collect();
        let both = Both::permits(&conditions);
        for text in texts {
            both.context(&json!({"a": text}));
        }
    }
}

#[test]
fn integers_are_counted_to_their_edges_and_not_beyond() {
    const EDGES: [i64; 9] = [i64::MIN, i64::MIN + 1, -3_037_000_500, -1, 0, 1, 3_037_000_500, i64::MAX - 1, i64::MAX];
    let conditions = [
        "context.a + context.b == context.c",
        "context.a - context.b == context.c",
        "context.a * context.b == context.c",
        "-context.a == context.c",
        "context.a < context.b",
        "context.a <= context.b",
        "context.a > context.b",
        "context.a >= context.b",
        "context.a != context.b",
        "context.a + context.b - context.b == context.a",
        "-9223372036854775808 == context.a",
        "-(9223372036854775807) - 1 == context.a",
        "context.a < \"x\"",
        "context.a + \"x\" == 1",
    ];
    let both = Both::permits(&conditions.map(str::to_owned));
    let (mut satisfied, mut erred) = (0, 0);
    for a in EDGES {
        for b in EDGES {
            for c in EDGES.into_iter().chain([a.wrapping_add(b), a.wrapping_mul(b), a.wrapping_sub(b)]) {
                let answer = both.context(&json!({"a": a, "b": b, "c": c}));
                satisfied += answer.policies.len();
                erred += answer.errors.len();
            }
        }
    }
    both_happen((satisfied, erred));
}

/// All strings of so many letters at most.
fn words(letters: &[&str], longest: usize) -> Vec<String> {
    let (mut all, mut last) = (vec![String::new()], vec![String::new()]);
    for _ in 0..longest {
        last = last.iter().flat_map(|word| letters.iter().map(move |letter| format!("{word}{letter}"))).collect();
        all.extend_from_slice(&last);
    }
    all
}

#[test]
fn every_pattern_matches_what_cedar_says_it_matches() {
    for (pattern_letters, letters) in [
        (["a", "b", "*"], ["a", "b"]),
        (["a", "\\*", "*"], ["a", "*"]),
        (["\u{e9}", "\u{1F512}", "*"], ["\u{e9}", "\u{1F512}"]),
        (["a", "\u{0}", "*"], ["a", "\u{0}"]),
    ] {
        let patterns = words(&pattern_letters, 4);
        let conditions: Vec<String> =
            patterns.iter().map(|pattern| format!("context.a like \"{}\"", pattern.replace('\u{0}', "\\0"))).collect();
        let both = Both::permits(&conditions);
        assert_eq!(both.left(), 0);
        let matched: usize = words(&letters, 5).iter().map(|a| both.context(&json!({"a": a})).policies.len()).sum();
        assert!(matched > 500, "{matched}");
    }
    let both = Both::permits(&["context.a like \"*\"".to_owned()]);
    assert_eq!(both.context(&json!({"a": 1})).errors.len(), 1);
}

/// Every operator on every two kinds of values.
#[test]
fn every_operator_takes_the_kinds_that_cedar_takes() {
    const VALUES: [&str; 22] = [
        "true",
        "false",
        "0",
        "7",
        "\"\"",
        "\"x\"",
        "decimal(\"1.0\")",
        "datetime(\"2024-01-01\")",
        "duration(\"1h\")",
        "ip(\"::1\")",
        "principal",
        "User::\"u\"",
        "Action::\"read\"",
        "NS::User::\"u\"",
        "[]",
        "[1, \"x\"]",
        "[User::\"u\"]",
        "[User::\"u\", 1]",
        "{}",
        "{x: 1}",
        "context",
        "principal.nothing",
    ];
    const BINARY: [&str; 34] = [
        "@ == #",
        "@ != #",
        "@ < #",
        "@ <= #",
        "@ > #",
        "@ >= #",
        "@ && #",
        "@ || #",
        "@ + # == 7",
        "@ - # == 7",
        "@ * # == 7",
        "@ in #",
        "@.contains(#)",
        "@.containsAll(#)",
        "@.containsAny(#)",
        "@.hasTag(#)",
        "@.getTag(#) == 1",
        "@.isInRange(#)",
        "@.lessThan(#)",
        "@.lessThanOrEqual(#)",
        "@.greaterThan(#)",
        "@.greaterThanOrEqual(#)",
        "@.offset(#) == datetime(\"2024-01-01T01:00:00Z\")",
        "@.durationSince(#) == duration(\"0ms\")",
        "(if @ then # else false) == #",
        "[@, #] == [#, @]",
        "{a: @, b: #} == {b: #, a: @}",
        "[@, #].contains(@)",
        "[@] == [#]",
        "{a: @}.a == #",
        "{a: @} has a.x",
        "@ has x && # == #",
        "@ is User in #",
        "true && @ && #",
    ];
    const UNARY: [&str; 26] = [
        "!@",
        "-@ == -7",
        "@.isEmpty()",
        "@ has x",
        "@ has x.y",
        "@.x == 1",
        "@ like \"*\"",
        "@ is User",
        "@ is NS::User",
        "@ is Action",
        "decimal(@) == decimal(\"1.0\")",
        "datetime(@) == @",
        "duration(@) == @",
        "ip(@) == @",
        "@.isIpv4()",
        "@.isIpv6()",
        "@.isLoopback()",
        "@.isMulticast()",
        "@.toDate() == @",
        "@.toTime() == @",
        "@.toMilliseconds() == 3600000",
        "@.toSeconds() == 3600",
        "@.toMinutes() == 60",
        "@.toHours() == 1",
        "@.toDays() == 0",
        "if @ then true else 1",
    ];
    let operand = |value: &str| format!("({value})");
    let unary = UNARY.iter().flat_map(|form| VALUES.iter().map(move |a| form.replace('@', &operand(a))));
    let pairs = VALUES.iter().flat_map(|a| VALUES.iter().map(move |b| (a, b)));
    let binary = BINARY
        .iter()
        .flat_map(|form| pairs.clone().map(move |(a, b)| form.replace('@', &operand(a)).replace('#', &operand(b))));
    let conditions: Vec<String> = unary.chain(binary).collect();
    let texts: Vec<(String, String)> = (0..)
        .zip(&conditions)
        .map(|(n, condition)| {
            (format!("{n:05}"), format!("permit (principal, action, resource) when {{ {condition} }};"))
        })
        .collect();
    let both = Both::new(texts.iter().map(|(id, text)| (id.as_str(), text.as_str())), None, "[]");
    let compiled = both.shared.program.ids.len();
    assert!(compiled * 10 >= conditions.len() * 8 && both.left() == 0, "{compiled} of {}", conditions.len());
    let answer = both.context(&json!({"x": 1}));
    assert!(matches!(answer.standing, Standing::Pass));
    assert!(answer.policies.len() > 1_000 && answer.errors.len() > 5_000);
}
