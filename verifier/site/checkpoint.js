// Checkpoints (C2SP tlog-checkpoint v1.0.0): the head of a log as a signed note.
//
// Guarantees: an opened checkpoint was signed by the key that its reader named, for the origin that has that key's name.
// Does not say that two checkpoints belong to one history: that is a consistency proof.

import { Fault, worded } from "./fault.js";
import { MAX_NAME, openNote } from "./note.js";
import { decimal, equal, unb64Hash, unhex, utf8Length } from "./text.js";

// Root of the tree without leaves: SHA-256 of nothing (RFC 6962 §2.1).
export const EMPTY_ROOT = unhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

// The text of a note to {origin, size, root}. Extension lines are accepted and passed over.
export function parseCheckpoint(text) {
  const lines = text.slice(0, -1).split("\n");
  const [origin, sizeText, rootText, ...extensions] = lines;
  const misshapen =
    !text.endsWith("\n") || lines.length < 3 || origin === "" || utf8Length(origin) > MAX_NAME || extensions.includes("");
  if (misshapen) throw new Fault("shape", "malformed checkpoint");
  const spelled = (read) => worded(read, (error) => new Fault("text", `malformed checkpoint: ${error.message}`));
  const size = spelled(() => decimal(sizeText));
  const root = spelled(() => unb64Hash(rootText));
  if (size === 0n && !equal(root, EMPTY_ROOT)) throw new Fault("empty_root", "empty log with the root of another tree");
  return { origin, size, root };
}

// The head that `key` signed, of the log that has the key's name.
export async function openCheckpoint(raw, key) {
  const head = parseCheckpoint(await openNote(raw, key));
  if (head.origin !== key.name) throw new Fault("origin", "checkpoint of another origin");
  return head;
}
