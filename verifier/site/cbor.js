// Deterministic CBOR (RFC 8949 §4.2.1), the small part of it that records and COSE receipts use. Integers are BigInts.
//
// Guarantees: one encoding of each value; definite lengths, shortest heads, map keys ascending; the decoder cannot run over, and `finish`
// refuses what is left. It reads no floats and no simple value but null.

import { Fault } from "./fault.js";
import { utf8 } from "./text.js";

const [UINT, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG] = [0, 1, 2, 3, 4, 5, 6];
const NULL = 0xf6;

export const truncated = (at) => new Fault("truncated", `input ends inside an item at byte ${at}`);
const notShortest = (at) => new Fault("not_shortest", `head at byte ${at} is not in its shortest definite form`);
const wrongType = (expected, at) => new Fault("wrong_type", `expected ${expected} at byte ${at}`);
const unexpectedKey = (at) => new Fault("unexpected_key", `unexpected key at byte ${at}`);
export const outOfRange = (key) => new Fault("out_of_range", `value of key ${key} is out of range`);

export class Decoder {
  #bytes;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  get at() {
    return this.#at;
  }

  uint() {
    return this.#head(UINT, "an unsigned integer");
  }

  int() {
    const at = this.#at;
    const negative = this.#bytes[at] >> 5 === NEGATIVE;
    const head = this.#head(negative ? NEGATIVE : UINT, "an integer");
    if (head >= 1n << 63n) throw wrongType("an integer of 64 bits", at);
    return negative ? -1n - head : head;
  }

  tag(tag) {
    const at = this.#at;
    if (this.#head(TAG, "a tag") !== tag) throw wrongType("another tag", at);
  }

  null() {
    const at = this.#at;
    if (this.#take(1)[0] !== NULL) throw wrongType("null", at);
  }

  bytes() {
    return this.#take(this.#length(BYTES, "a byte string"));
  }

  bytesOf(length) {
    const at = this.#at;
    const bytes = this.bytes();
    if (bytes.length !== length) throw wrongType("a byte string of fixed length", at);
    return bytes;
  }

  // {text, length in bytes}
  text() {
    const length = this.#length(TEXT, "a text string");
    const at = this.#at;
    const text = utf8(this.#take(length));
    if (text === null) throw new Fault("utf8", `text at byte ${at} is not valid \`UTF-8\``);
    return { text, length };
  }

  array() {
    return this.#length(ARRAY, "an array");
  }

  arrayOf(length) {
    const at = this.#at;
    if (this.array() !== length) throw wrongType("an array of fixed length", at);
  }

  mapOf(length) {
    const at = this.#at;
    if (this.#length(MAP, "a map") !== length) throw wrongType("a map of fixed length", at);
  }

  map() {
    return new Keys(this.#length(MAP, "a map"));
  }

  finish() {
    const left = this.#bytes.length - this.#at;
    if (left > 0) throw new Fault("trailing", `${left} bytes follow the item`);
  }

  #take(length) {
    if (length > this.#bytes.length - this.#at) throw truncated(this.#at);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  #head(major, expected) {
    const at = this.#at;
    if (at >= this.#bytes.length) throw truncated(at);
    const first = this.#bytes[at];
    if (first >> 5 !== major) throw wrongType(expected, at);
    this.#at += 1;
    const small = first & 0x1f;
    if (small < 24) return BigInt(small);
    if (small > 27) throw notShortest(at);
    const width = 1 << (small - 24);
    const value = this.#take(width).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
    const least = width === 1 ? 24n : 1n << BigInt(4 * width);
    if (value < least) throw notShortest(at);
    return value;
  }

  // Every item takes at least one byte, so no honest length exceeds what is left.
  #length(major, expected) {
    const at = this.#at;
    const length = this.#head(major, expected);
    if (length > BigInt(this.#bytes.length - this.#at)) throw truncated(at);
    return Number(length);
  }
}

// A map with unsigned integer keys that is read in ascending order: each key is asked for by name, so an unknown, repeated or misplaced
// key is never passed over.
class Keys {
  #left;
  #next = null;
  #last = null;

  constructor(left) {
    this.#left = left;
  }

  // Whether the next pair has this key; then its value is the decoder's next item.
  optional(decoder, key) {
    if (this.#next === null && this.#left > 0) {
      const at = decoder.at;
      const read = decoder.uint();
      if (this.#last !== null && read <= this.#last) throw unexpectedKey(at);
      this.#left -= 1;
      this.#last = read;
      this.#next = read;
    }
    if (this.#next !== BigInt(key)) return false;
    this.#next = null;
    return true;
  }

  required(decoder, key) {
    if (!this.optional(decoder, key)) throw new Fault("missing_key", `key ${key} is missing`);
  }

  finish(decoder) {
    if (this.#left > 0 || this.#next !== null) throw unexpectedKey(decoder.at);
  }
}
