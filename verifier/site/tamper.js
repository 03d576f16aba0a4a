// Ways to break a receipt, so that a reader sees which rung notices. Each answers evidence as `ladder.js` takes it; nothing here is a
// receipt that anybody signed.

import { parseCheckpoint } from "./checkpoint.js";
import { keyId, parseNote } from "./note.js";
import { rootOfInclusion } from "./proof.js";
import { leafHash } from "./sha2.js";
import { b64, unhex } from "./text.js";

// The public key of RFC 8032 §7.1, test 2: a sound key that no log uses.
const OTHER_KEY = unhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");

// A receipt as text (C2SP tlog-proof v1).
export function receiptText({ index, path, extra, checkpoint }) {
  const leaf = extra === undefined ? "" : `extra ${b64(extra)}\n`;
  return `c2sp.org/tlog-proof@v1\n${leaf}index ${index}\n${path.map((hash) => `${b64(hash)}\n`).join("")}\n${checkpoint}`;
}

export function flipped(bytes, bit) {
  const copy = bytes.slice();
  copy[bit >> 3] ^= 1 << (bit & 7);
  return copy;
}

// The same head with another root, under the signature that was given for the old one.
export function withRoot(checkpoint, root) {
  const [origin, size, , ...rest] = checkpoint.split("\n");
  return [origin, size, b64(root), ...rest].join("\n");
}

// [{id, label, says, apply}]: `apply(form, state)` answers {form?, key?, parts?}: what is put in the place of what was there, and `bit` where
// one was flipped. `state`: {record, key, parts}. Ways that do not apply answer null.
export const WAYS = [
  {
    id: "record",
    label: "Flip one bit of the record",
    says: "One bit of the record is another. So its hash is another, and the path leads to another root.",
    apply(form, { record }) {
      // A bit inside a hash of the record leaves it well formed: what notices is the tree, not the decoder.
      const bit = 8 * (within(form.extra, record.request) ?? form.extra.length - 1) + 2;
      return { form: { ...form, extra: flipped(form.extra, bit) }, bit };
    },
  },
  {
    id: "verdict",
    label: "Turn the verdict around",
    says: "Denied becomes allowed, or allowed denied, and nothing else. An allowing record must say for how long; a denying one must not.",
    apply(form, { record }) {
      if (record.kind !== "decision") return null;
      const at = outcomeAt(form.extra, record);
      return { form: { ...form, extra: flipped(form.extra, 8 * at) }, bit: 8 * at };
    },
  },
  {
    id: "root",
    label: "Swap the root",
    says: "The head states the root of another tree. The path does not lead there.",
    apply: (form) => ({ form: { ...form, checkpoint: withRoot(form.checkpoint, OTHER_KEY) } }),
  },
  {
    id: "forged",
    label: "Forge record and head",
    says: "One bit of the record is another, and the head states the root that follows: the arithmetic holds. Only the signature does not.",
    async apply(form, state) {
      const { form: changed, bit } = WAYS[0].apply(form, state);
      const { size } = parseCheckpoint(parseNote(form.checkpoint).text);
      const root = await rootOfInclusion(await leafHash(changed.extra), form.index, size, form.path);
      return { form: { ...changed, checkpoint: withRoot(form.checkpoint, root) }, bit };
    },
  },
  {
    id: "key",
    label: "Use another key",
    says: "The receipt is as it was; the reader trusts another key of the same name. No trusted key signed the head.",
    apply: async (form, { key }) => ({ key: { name: key.name, key: OTHER_KEY, id: await keyId(key.name, OTHER_KEY) } }),
  },
  {
    id: "place",
    label: "Claim another place",
    says: "The record is said to stand one entry beside where it stands. The turns of the path are others.",
    apply: (form) => ({ form: { ...form, index: form.index ^ 1n } }),
  },
  {
    id: "short",
    label: "Leave a hash out",
    says: "The path is one hash shorter. Its length follows from index and size and is checked before anything is hashed.",
    apply: (form) => (form.path.length === 0 ? null : { form: { ...form, path: form.path.slice(0, -1) } }),
  },
  {
    id: "request",
    label: "Alter the disclosed request",
    says: "One bit of the request is another, and the record is as it was. The salted commitment notices.",
    apply(form, { parts }) {
      if (parts?.request === undefined || parts.request.bytes.length === 0) return null;
      const request = { ...parts.request, bytes: flipped(parts.request.bytes, 3) };
      return { parts: { ...parts, request } };
    },
  },
];

// Where these bytes stand in others; null if they do not.
function within(bytes, part) {
  if (part === undefined) return null;
  for (let at = 0; at + part.length <= bytes.length; at += 1) if (part.every((byte, i) => bytes[at + i] === byte)) return at;
  return null;
}

// The outcome stands right before the nine classes: its value, the next key, and their head (0x49: nine bytes).
function outcomeAt(bytes, record) {
  const request = within(bytes, record.request);
  // …outcome, key of classes, 0x49, nine classes, key of request, 0x58, 0x20, request
  return request - 3 - 9 - 2 - 1;
}
