// What a dropped file is, told by its content, and what it adds to the evidence at hand.
//
// Guarantees: a file is read within limits and becomes one kind of thing or a Fault. Nothing that is taken here is verified here.

import { decodeBundle, isBundle } from "./bundle.js";
import { Fault } from "./fault.js";
import { isFork } from "./fork.js";
import { parseJson } from "./json.js";
import { parseKey } from "./note.js";
import { readForm } from "./receipt.js";
import { toUtf8, unb64, unb64Hash, utf8 } from "./text.js";

// A receipt with the largest record and note in JSON takes 6.2 MB; a bundle says its own limit.
export const MAX_FILE = 8 << 20;
const MAX_BUNDLE = 64 << 20;

// {kind: "receipt", bytes} (any form that `verify.js` judges, bundles and evidence of a fork too), {kind: "head", note}, {kind: "key", text}, {kind: "record", bytes},
// {kind: "parts", index, parts}, {kind: "growth", from, to, proof}, or {kind: "answer", bytes, parts}: what the decision API answered.
export async function readFile(bytes) {
  if (bytes.length === 0) throw new Fault("empty", "the file is empty");
  const most = isBundle(bytes) ? MAX_BUNDLE : MAX_FILE;
  if (bytes.length > most) throw new Fault("too_long", `the file has more than ${most >> 20} MiB`);
  if (isBundle(bytes) || isFork(bytes)) return { kind: "receipt", bytes };
  const text = utf8(bytes);
  const first = bytes.find((byte) => ![0x20, 0x09, 0x0a, 0x0d].includes(byte));
  if (first === 0x7b) {
    const object = jsonKind(bytes);
    if (object !== null) return object;
  } else if (text !== null && isKey(text)) {
    await parseKey(text.trim());
    return { kind: "key", text: text.trim() };
  } else if (first >> 5 === 5) {
    return { kind: "record", bytes };
  }
  const form = await readForm(bytes);
  return form.form === "head" ? { kind: "head", note: form.checkpoint } : { kind: "receipt", bytes };
}

// The form of evidence, with the head that it rests on where it carries one: {form, checkpoint, …}.
export async function formOf(bytes) {
  if (isFork(bytes)) return { form: "fork" };
  const form = await readForm(bytes);
  return form.form === "bundle" ? { form: "bundle", checkpoint: decodeBundle(bytes).checkpoint } : form;
}

const isKey = (text) => /^[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+\s*$/.test(text);

// What the log's API answers in JSON and is no receipt; null for everything else.
function jsonKind(bytes) {
  let value;
  try {
    value = parseJson(bytes);
  } catch (error) {
    if (error instanceof Fault) return null;
    throw error;
  }
  const has = (...keys) => keys.every((key) => value.has(key));
  if (has("index", "permit", "request", "detail") && value.get("request") instanceof Map) {
    return { kind: "parts", index: value.get("index"), parts: partsOf(value) };
  }
  if (has("from", "to", "proof") && Array.isArray(value.get("proof"))) {
    return { kind: "growth", from: value.get("from"), to: value.get("to"), proof: value.get("proof").map(unb64Hash) };
  }
  if (has("decision", "permit", "receipt") && typeof value.get("receipt") === "string") {
    return { kind: "answer", bytes: toUtf8(value.get("receipt")) };
  }
  return null;
}

function partsOf(value) {
  const part = (name) => ({ salt: unb64(value.get(name).get("salt")), bytes: unb64(value.get(name).get("bytes")) });
  return { request: part("request"), detail: part("detail") };
}

// The same from what `/v1/requests/{index}` answered, read by whoever asked.
export function partsFromJson(bytes) {
  return partsOf(parseJson(bytes));
}
