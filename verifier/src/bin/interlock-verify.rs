//! `interlock-verify`: receipts, heads and evidence bundles of an Interlock log, checked offline by whoever holds the log's key. One file, no
//! server, no configuration.
//!
//! All that it decides is decided by `verifier::verify`; here are arguments, files and exit codes, the only I/O of this crate's programs.
//! It opens the files that are named and nothing else: no network, no clock, no environment.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{Read, Write};
use std::process::ExitCode;

use verifier::note::VerifierKey;
use verifier::policy::Policy;
use verifier::verify::{Beside, LogKey, explain, judge, judge_under, worst};

const USAGE: &str = "\
Checks receipts, heads and evidence bundles of an Interlock log, offline.

usage: interlock-verify --vkey KEY|--policy FILE [--leaf FILE]… [--pin FILE] [--json] FILE…
       interlock-verify explain [--leaf FILE]… [--pin FILE] FILE…

FILE         a receipt (tlog-proof text, JSON, a range, COSE), a checkpoint, an evidence bundle or evidence of a fork, told by its
             content; `-` is standard input
--vkey KEY   the log's verification key, or a file with one a line; once for each key that you trust
--policy FILE  a C2SP tlog-policy: its logs are trusted too, and its quorum of witnesses must have cosigned the head
--leaf FILE  a leaf's bytes, for evidence that does not carry them; of a range once for each, in order
--pin FILE   a checkpoint that you kept: compared as far as the evidence goes; what a COSE receipt of consistency continues
--json       one JSON object a file (schema interlock/verdict/v1)
explain      shows the arithmetic, each hash in hex, and judges nothing

exit code    0 verified, 1 invalid, 2 usage, 3 undecidable (malformed, unsupported), 4 a file cannot be had,
             5 not anchored in a key that you trust, 6 quorum of witnesses not met, 7 fork: one key signed two histories
";

/// Bytes of one file: bundles are the longest evidence.
const MAX_FILE: u64 = verifier::bundle::MAX_BUNDLE as u64;

const EXIT_USAGE: u8 = 2;
const EXIT_UNAVAILABLE: u8 = 4;

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1).map(|argument| argument.into_string());
    let code = match arguments.collect::<Result<Vec<String>, _>>() {
        Ok(arguments) => run(&arguments).unwrap_or_else(Failure::tell),
        Err(_) => Failure::usage("an argument is not UTF-8").tell(),
    };
    ExitCode::from(code)
}

/// Why nothing was judged.
struct Failure {
    exit: u8,
    message: String,
}

impl Failure {
    fn usage(message: impl Into<String>) -> Self {
        Self { exit: EXIT_USAGE, message: message.into() }
    }

    fn unavailable(message: impl Into<String>) -> Self {
        Self { exit: EXIT_UNAVAILABLE, message: message.into() }
    }

    fn tell(self) -> u8 {
        // Where nobody reads the reason, the exit code is what is left to say.
        let _ = writeln!(std::io::stderr(), "interlock-verify: {}", self.message);
        self.exit
    }
}

/// What the command line asks for.
#[derive(Default)]
struct Asked {
    explain: bool,
    help: bool,
    version: bool,
    json: bool,
    vkeys: Vec<String>,
    leaves: Vec<String>,
    pin: Option<String>,
    policy: Option<String>,
    files: Vec<String>,
}

fn run(arguments: &[String]) -> Result<u8, Failure> {
    let asked = Asked::read(arguments)?;
    if asked.help {
        return say(USAGE).map(|()| 0);
    }
    if asked.version {
        return say(concat!("interlock-verify ", env!("CARGO_PKG_VERSION"), "\n")).map(|()| 0);
    }
    if asked.files.is_empty() {
        return Err(Failure::usage("no file is named; `--help` says how"));
    }
    let mut keys = Vec::new();
    for vkey in &asked.vkeys {
        keys.extend(read_vkeys(vkey)?.into_iter().map(LogKey::unlimited));
    }
    let leaves: Vec<Vec<u8>> = asked.leaves.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
    let kept = asked.pin.as_deref().map(read_text).transpose()?;
    let beside = Beside { leaves: &leaves, kept: kept.as_deref() };
    let policy = asked.policy.as_deref().map(read_policy).transpose()?;
    let mut exits = Vec::with_capacity(asked.files.len());
    for file in &asked.files {
        let evidence = read(file)?;
        if asked.explain {
            say(&explain(&evidence, beside))?;
            continue;
        }
        let said = match &policy {
            Some(policy) => judge_under(policy, &evidence, beside, &keys),
            None => judge(&evidence, beside, &keys),
        };
        exits.push(said.exit_code());
        if asked.json { say(&format!("{}\n", said.json(file)))? } else { say(&said.text(file))? }
    }
    Ok(worst(exits))
}

impl Asked {
    fn read(arguments: &[String]) -> Result<Self, Failure> {
        let mut asked = Self::default();
        let mut rest = arguments.iter();
        if let Some("explain") = arguments.first().map(String::as_str) {
            asked.explain = true;
            rest.next();
        }
        while let Some(argument) = rest.next() {
            let (option, given) = match argument.split_once('=') {
                Some((option, value)) if option.starts_with("--") => (option, Some(value.to_owned())),
                _ => (argument.as_str(), None),
            };
            let flag = given.is_none();
            let mut value = || {
                let value = given.clone().or_else(|| rest.next().cloned());
                value.ok_or_else(|| Failure::usage(format!("`{option}` needs a value")))
            };
            match option {
                "--vkey" if !asked.explain => asked.vkeys.push(value()?),
                "--leaf" => asked.leaves.push(value()?),
                "--pin" if asked.pin.is_none() => asked.pin = Some(value()?),
                "--policy" if !asked.explain && asked.policy.is_none() => asked.policy = Some(value()?),
                "--json" if flag && !asked.explain => asked.json = true,
                "--help" | "-h" if flag => asked.help = true,
                "--version" | "-V" if flag => asked.version = true,
                "--" if flag => asked.files.extend(rest.by_ref().cloned()),
                "-" => asked.files.push(argument.clone()),
                _ if option.starts_with('-') => {
                    return Err(Failure::usage(format!("`{argument}` is not expected here; `--help` says how")));
                }
                _ => asked.files.push(argument.clone()),
            }
        }
        Ok(asked)
    }
}

/// The key itself, or a file with one a line; empty lines and those that begin with `#` are passed over.
fn read_vkeys(text: &str) -> Result<Vec<VerifierKey>, Failure> {
    if let Ok(key) = text.parse() {
        return Ok(vec![key]);
    }
    let content = read_text(text).map_err(|failure| {
        Failure::usage(format!("`{text}` is neither a key nor a file with one: {}", failure.message))
    })?;
    let lines = content.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Result<Vec<VerifierKey>, Failure> =
        lines.map(|line| line.parse().map_err(|error| Failure::usage(format!("{text}: `{line}`: {error}")))).collect();
    keys.and_then(|keys| if keys.is_empty() { Err(Failure::usage(format!("{text}: no key in it"))) } else { Ok(keys) })
}

fn read_policy(path: &str) -> Result<Policy, Failure> {
    Policy::parse(&read(path)?).map_err(|error| Failure::usage(format!("{path}: {error}")))
}

fn read_text(path: &str) -> Result<String, Failure> {
    String::from_utf8(read(path)?).map_err(|_| Failure::unavailable(format!("{path}: not valid UTF-8")))
}

fn read(path: &str) -> Result<Vec<u8>, Failure> {
    let unavailable = |error: std::io::Error| Failure::unavailable(format!("{path}: {error}"));
    let mut bytes = Vec::new();
    let reader: Box<dyn Read> =
        if path == "-" { Box::new(std::io::stdin()) } else { Box::new(File::open(path).map_err(unavailable)?) };
    let read = reader.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unavailable)?;
    if read as u64 > MAX_FILE {
        Err(Failure::unavailable(format!("{path}: more than {MAX_FILE} bytes")))
    } else {
        Ok(bytes)
    }
}

/// A verdict that nobody could read is not one: a broken pipe ends with 4, not with 0.
fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::unavailable(format!("standard output: {error}")))
}
