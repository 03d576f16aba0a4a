// COSE receipts (RFC 9942, for RFC9162_SHA256): one leaf's inclusion, or the consistency of two sizes, as COSE_Sign1 (RFC 9052).
//
// Guarantees: one form is read: deterministic CBOR, this protected header and no other, one proof, a detached payload.
// Does not bind the place: the signature covers the root alone, and index and size only as far as they give the path its turns.

import { Decoder } from "./cbor.js";
import { verifyStrict } from "./ed25519.js";
import { Fault, worded } from "./fault.js";
import { MAX_CONSISTENCY, rootOfConsistency, rootOfInclusion } from "./proof.js";
import { DECIMAL_LIMIT, concat, equal, toUtf8, unhex } from "./text.js";

const MAX_COSE = 4_608;
const SIGN1 = 18n;
const PROTECTED = unhex("a2012719018b01");
const PROOFS = 396n;
const KINDS = new Map([[-1n, "inclusion"], [-2n, "consistency"]]);

const REASONS = {
  too_long: "receipt is too long",
  protected: "protected header is not `{1: -8, 395: 1}`",
  proofs: "unprotected header is not one inclusion or consistency proof",
  empty: "an empty path has no COSE form",
  range: "number is not below 2^63",
  signature: "the key did not sign the root that the proof gives",
};
// Each fault of this module is of the kind that gives it its code: `malformed`, `proof` or `signature`.
const malformed = (name) => new Fault("malformed", REASONS[name]);

// {form: "inclusion", size, index, path, signature} or {form: "consistency", from, to, path, signature}
export function decodeCose(bytes) {
  if (bytes.length > MAX_COSE) throw malformed("too_long");
  return worded(
    () => decode(new Decoder(bytes)),
    (fault) => (fault.kind === "malformed" ? fault : new Fault("malformed", `malformed receipt: ${fault.message}`)),
  );
}

function decode(d) {
  d.tag(SIGN1);
  d.arrayOf(4);
  if (!equal(d.bytes(), PROTECTED)) throw malformed("protected");
  d.mapOf(1);
  if (d.int() !== PROOFS) throw malformed("proofs");
  d.mapOf(1);
  const kind = d.int();
  d.arrayOf(1);
  const { first, second, path } = decodeProof(new Decoder(d.bytes()));
  d.null();
  const signature = d.bytesOf(64);
  d.finish();
  const form = KINDS.get(kind);
  if (form === undefined) throw malformed("proofs");
  return form === "inclusion"
    ? { form, size: first, index: second, path, signature }
    : { form, from: first, to: second, path, signature };
}

function decodeProof(d) {
  d.arrayOf(3);
  const [first, second] = [d.uint(), d.uint()];
  const length = d.array();
  if (length === 0) throw malformed("empty");
  if (length > MAX_CONSISTENCY) throw malformed("too_long");
  if (first >= DECIMAL_LIMIT || second >= DECIMAL_LIMIT) throw malformed("range");
  const path = Array.from({ length }, () => d.bytesOf(32));
  d.finish();
  return { first, second, path };
}

// The root to which the path leads from this leaf, if `key` signed it.
export async function verifyInclusionReceipt(receipt, leaf, key) {
  return signedBy(key, () => rootOfInclusion(leaf, receipt.index, receipt.size, receipt.path), receipt.signature);
}

// The newer root, to which the proof leads from an older one that the caller believes, if `key` signed it.
export async function verifyConsistencyReceipt(receipt, fromRoot, key) {
  return signedBy(key, () => rootOfConsistency(receipt.from, receipt.to, receipt.path, fromRoot), receipt.signature);
}

// What is signed: the Sig_structure of RFC 9052 §4.4 with the root as detached payload. It begins with 0x84, which begins no UTF-8 text,
// so it is never a checkpoint.
export function signedBytes(root) {
  return concat([0x84, 0x6a], toUtf8("Signature1"), [0x47], PROTECTED, [0x40, 0x58, 0x20], root);
}

async function signedBy(key, root, signature) {
  let signed;
  try {
    signed = await root();
  } catch (error) {
    throw error instanceof Fault ? new Fault("proof", error.message) : error;
  }
  if (!(await verifyStrict(key.key, signedBytes(signed), signature))) throw new Fault("signature", REASONS.signature);
  return signed;
}
