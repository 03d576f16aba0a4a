// Trust policies (C2SP tlog-policy) and the cosignatures of witnesses (C2SP tlog-cosignature v1), as in `policy.rs` and `cosignature.rs`.
//
// Guarantees: what is read is exactly one policy within the limits; a cosignature that is counted verifies over the whole text of the head,
// and a line under a witness's name and id that fails makes the note void.

import { verifyStrict } from "./ed25519.js";
import { Fault } from "./fault.js";
import { COSIGNATURE, MAX_NAME, badSignature, parseKey, parseNote } from "./note.js";
import { DECIMAL_LIMIT, concat, decimal, equal, toUtf8, utf8, utf8Length } from "./text.js";

const MAX_POLICY = 256 * 1024;
const MAX_LOGS = 64;
const MAX_WITNESSES = 100;
const MAX_GROUPS = 64;

const REASONS = {
  too_long: "the policy is too long",
  character: "a character that a policy may not have",
  keyword: "a line begins with `log`, `witness`, `group` or `quorum`",
  same_key: "the public key stands in the policy already",
  name: "the name is taken or too long",
  undefined: "the name is not defined above",
  member: "the name is a member already",
  threshold: "the threshold is not `any`, `all` or a number from 1 to that of the members",
  too_many: "too many lines of this kind",
  no_quorum: "there is no `quorum` line",
  second_quorum: "there is a second `quorum` line",
};
const fault = (kind) => new Fault(kind, REASONS[kind]);
const items = (form) => new Fault("items", `the line is not \`${form}\``);

// {logs: [{key}], witnesses: [{name, key}], groups, quorum}; the refusal names the line.
export async function parsePolicy(bytes) {
  const at = (line, error) => new Fault(error.kind, `line ${line}: ${error.message}`);
  if (bytes.length > MAX_POLICY) throw at(1, fault("too_long"));
  const text = utf8(bytes);
  if (text === null) throw at(1, fault("character"));
  const policy = { logs: [], witnesses: [], groups: [], quorum: null };
  const names = new Map();
  const lines = text.split("\n");
  for (const [place, line] of lines.entries()) {
    try {
      // Every control character but the tab; newlines are gone.
      if (/[\u0000-\u0008\u000a-\u001f\u007f]/u.test(line)) throw fault("character");
      const [word, ...rest] = line.split(/[ \t]/).filter((item) => item !== "");
      if (word !== undefined && !word.startsWith("#")) await readLine(policy, names, word, rest);
    } catch (error) {
      throw error instanceof Fault ? at(place + 1, error) : error;
    }
  }
  if (policy.quorum === null) throw at(lines.length, fault("no_quorum"));
  return policy;
}

async function readLine(policy, names, word, rest) {
  const { logs, witnesses, groups } = policy;
  const unused = ({ key }) => {
    if ([...logs, ...witnesses].some((other) => equal(other.key.key, key))) throw fault("same_key");
  };
  const define = (name, place) => {
    if (name === "none" || utf8Length(name) > MAX_NAME || names.has(name)) throw fault("name");
    names.set(name, { place, taken: false });
  };
  if (word === "log") {
    if (rest.length < 1 || rest.length > 2) throw items("log KEY [ADDRESS]");
    if (logs.length === MAX_LOGS) throw fault("too_many");
    const key = await parseKey(rest[0]);
    unused(key);
    logs.push({ key });
  } else if (word === "witness") {
    if (rest.length < 2 || rest.length > 3) throw items("witness NAME KEY [ADDRESS]");
    if (witnesses.length === MAX_WITNESSES) throw fault("too_many");
    const key = await parseKey(rest[1], COSIGNATURE);
    unused(key);
    define(rest[0], { witness: witnesses.length });
    witnesses.push({ name: rest[0], key });
  } else if (word === "group") {
    const [name, number, ...members] = rest;
    if (members.length === 0) throw items("group NAME THRESHOLD MEMBER…");
    if (groups.length === MAX_GROUPS) throw fault("too_many");
    const places = members.map((member) => {
      const named = names.get(member);
      if (named === undefined) throw fault("undefined");
      if (named.taken) throw fault("member");
      named.taken = true;
      return named.place;
    });
    const all = BigInt(members.length);
    const threshold = number === "any" ? 1n : number === "all" ? all : decimalOr0(number);
    if (threshold === 0n || threshold > all) throw fault("threshold");
    define(name, { group: groups.length });
    groups.push({ threshold: Number(threshold), members: places });
  } else if (word === "quorum") {
    if (rest.length !== 1) throw items("quorum NAME");
    if (policy.quorum !== null) throw fault("second_quorum");
    const [name] = rest;
    if (name !== "none" && !names.has(name)) throw fault("undefined");
    policy.quorum = name === "none" ? { name: null } : { name, place: names.get(name).place };
  } else {
    throw fault("keyword");
  }
}

function decimalOr0(text) {
  try {
    return decimal(text);
  } catch (error) {
    if (error instanceof Fault) return 0n;
    throw error;
  }
}

// {each: [{name, time (Unix seconds, or null)}], met} for the signed note of a head; for null, a head that nobody can have cosigned.
export async function witnessing(policy, raw) {
  const times = policy.witnesses.map(() => null);
  if (raw !== null) {
    const note = parseNote(raw);
    for (const line of note.signatures) {
      for (const [place, { key }] of policy.witnesses.entries()) {
        if (line.name !== key.name || !equal(line.id, key.id)) continue;
        const time = await cosignedAt(key, note.text, line.bytes);
        if (time === null) throw badSignature();
        if (times[place] === null || times[place] < time) times[place] = time;
      }
    }
  }
  const groups = [];
  const has = ({ witness, group }) => (witness === undefined ? groups[group] : times[witness] !== null);
  for (const { threshold, members } of policy.groups) groups.push(members.filter(has).length >= threshold);
  const met = policy.quorum.name === null || has(policy.quorum.place);
  return { each: policy.witnesses.map(({ name }, place) => ({ name, time: times[place] })), met };
}

// Seconds in eight bytes, then the signature over both the time and the text. No witness says 0.
async function cosignedAt(key, text, bytes) {
  if (bytes.length !== 72) return null;
  const time = bytes.subarray(0, 8).reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
  if (time === 0n || time >= DECIMAL_LIMIT) return null;
  const message = concat(toUtf8(`cosignature/v1\ntime ${time}\n`), toUtf8(text));
  return (await verifyStrict(key.key, message, bytes.subarray(8))) ? time : null;
}
