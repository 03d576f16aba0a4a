// Signed notes (C2SP signed-note v1.0.0) and the keys that sign them.
//
// Guarantees: an opened text carries a valid signature of the key that the caller named, and no line under that key's name and id fails.
// Does not say what the text means, nor that lines of unknown keys are worth anything.

import { isGoodKey, verifyStrict } from "./ed25519.js";
import { Fault } from "./fault.js";
import { sha256 } from "./sha2.js";
import { concat, equal, toUtf8, unb64, unhex, utf8Length } from "./text.js";

// The limits of `note.rs`.
const MAX_SIGNATURES = 100;
const MAX_SIGNATURE_LINE = 16 * 1024;
export const MAX_NOTE = 1_000_000;
export const MAX_NAME = 255;

const ED25519 = 0x01;
// Of a timestamped cosignature.
export const COSIGNATURE = 0x04;
const PREFIX = "\u2014 ";

const REASONS = {
  too_long: "note, line or name is too long",
  control: "control character in note",
  shape: "note has no text with signatures behind an empty line",
  signature_line: "malformed signature line",
  bad_signature: "signature of a known key does not verify",
  no_known_key: "no signature by a known key",
  malformed_key: "malformed verification key",
  key_id: "key id does not belong to name and key",
  algorithm: "unsupported key algorithm",
  weak_key: "weak or malformed public key",
};
const fault = (kind) => new Fault(kind, REASONS[kind]);
export const badSignature = () => fault("bad_signature");

// `name+hex8(id)+base64(algorithm ‖ key)` to {name, id, key}.
export async function parseKey(text, algorithm = ED25519) {
  if (utf8Length(text) > MAX_SIGNATURE_LINE) throw fault("too_long");
  // The first two `+` only: base64 may hold more of them.
  const first = text.indexOf("+");
  const second = text.indexOf("+", first + 1);
  if (first < 0 || second < 0) throw fault("malformed_key");
  const name = text.slice(0, first);
  const [id, algorithmAndKey] = readOr(() => [unhex(text.slice(first + 1, second)), unb64(text.slice(second + 1))]);
  if (id.length !== 4 || algorithmAndKey.length === 0) throw fault("malformed_key");
  if (algorithmAndKey[0] !== algorithm) throw fault("algorithm");
  const key = algorithmAndKey.subarray(1);
  if (key.length !== 32 || !isKeyName(name) || /[\u0000-\u001f\u007f-\u009f]/u.test(name)) throw fault("malformed_key");
  if (utf8Length(name) > MAX_NAME) throw fault("too_long");
  if (!isGoodKey(key)) throw fault("weak_key");
  if (!equal(id, await keyId(name, key, algorithm))) throw fault("key_id");
  return { name, id, key };
}

// The first four bytes of SHA-256(name ‖ `\n` ‖ algorithm ‖ key).
export async function keyId(name, key, algorithm = ED25519) {
  return (await sha256(concat(toUtf8(name), [0x0a, algorithm], key))).subarray(0, 4);
}

// {text, signatures: [{name, id, bytes}]}, nothing verified. `raw` is a string.
export function parseNote(raw) {
  if (utf8Length(raw) > MAX_NOTE) throw fault("too_long");
  if (/[\u0000-\u0009\u000b-\u001f]/u.test(raw)) throw fault("control");
  // The last empty line: the text may have others.
  const end = raw.lastIndexOf("\n\n");
  if (end < 0 || !raw.slice(end + 2).endsWith("\n")) throw fault("shape");
  const lines = raw.slice(end + 2, -1).split("\n");
  const signatures = lines.map((line, number) => {
    if (number === MAX_SIGNATURES) throw fault("too_long");
    return parseSignature(line);
  });
  return { text: `${raw.slice(0, end)}\n`, signatures };
}

// The text that `key` signed. A line under its name and id that fails makes the whole note void.
export async function openNote(raw, key) {
  const note = parseNote(raw);
  const message = toUtf8(note.text);
  let signed = false;
  for (const signature of note.signatures) {
    if (signature.name !== key.name || !equal(signature.id, key.id)) continue;
    if (!(await verifyStrict(key.key, message, signature.bytes))) throw fault("bad_signature");
    signed = true;
  }
  if (!signed) throw fault("no_known_key");
  return note.text;
}

function parseSignature(line) {
  if (utf8Length(line) > MAX_SIGNATURE_LINE) throw fault("too_long");
  const space = line.indexOf(" ", PREFIX.length);
  if (!line.startsWith(PREFIX) || space < 0) throw fault("signature_line");
  const name = line.slice(PREFIX.length, space);
  let bytes;
  try {
    bytes = unb64(line.slice(space + 1));
  } catch {
    throw fault("signature_line");
  }
  if (!isKeyName(name) || bytes.length < 5) throw fault("signature_line");
  return { name, id: bytes.subarray(0, 4), bytes: bytes.subarray(4) };
}

// Not empty, no Unicode white space (the property, which is not what `\s` matches), no `+`.
function isKeyName(name) {
  return name !== "" && !/[+\p{White_Space}]/u.test(name);
}

function readOr(read) {
  try {
    return read();
  } catch {
    throw fault("malformed_key");
  }
}
