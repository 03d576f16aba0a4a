// Strict JSON (RFC 8259) for receipts: what `JSON.parse` passes over is refused.
//
// Guarantees: no key stands twice in an object, integers keep all their digits, strings hold no lone surrogates, bytes are UTF-8.
// Integers from 0 to 2^64 − 1 are BigInts; any other number is a Number, which no field of a receipt may be.

import { Fault } from "./fault.js";
import { utf8 } from "./text.js";

// Receipts nest three deep.
const MAX_DEPTH = 8;

const fault = () => new Fault("json", "not a receipt in JSON");

export function parseJson(bytes) {
  const text = utf8(bytes);
  if (text === null) throw fault();
  const reader = new Reader(text);
  const value = reader.value(0);
  reader.end();
  return value;
}

class Reader {
  #text;
  #at = 0;

  constructor(text) {
    this.#text = text;
  }

  value(depth) {
    if (depth > MAX_DEPTH) throw fault();
    this.#space();
    const next = this.#text[this.#at];
    if (next === "{") return this.#object(depth);
    if (next === "[") return this.#array(depth);
    if (next === '"') return this.#string();
    const word = this.#match(/null|true|false/y);
    if (word !== null) return { null: null, true: true, false: false }[word];
    const number = this.#match(/-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y);
    if (number === null) throw fault();
    const integer = /^[0-9]{1,20}$/.test(number) ? BigInt(number) : null;
    return integer !== null && integer < 1n << 64n ? integer : Number(number);
  }

  end() {
    this.#space();
    if (this.#at !== this.#text.length) throw fault();
  }

  #object(depth) {
    const object = new Map();
    this.#at += 1;
    this.#space();
    if (this.#skip("}")) return object;
    do {
      this.#space();
      if (this.#text[this.#at] !== '"') throw fault();
      const key = this.#string();
      this.#space();
      if (object.has(key) || !this.#skip(":")) throw fault();
      object.set(key, this.value(depth + 1));
      this.#space();
    } while (this.#skip(","));
    if (!this.#skip("}")) throw fault();
    return object;
  }

  #array(depth) {
    const array = [];
    this.#at += 1;
    this.#space();
    if (this.#skip("]")) return array;
    do {
      array.push(this.value(depth + 1));
      this.#space();
    } while (this.#skip(","));
    if (!this.#skip("]")) throw fault();
    return array;
  }

  // No pattern finds the end: a string of megabytes would take the engine's stack. JSON.parse then reads the spelling, and refuses
  // escapes that are none; what it passes over are halves of surrogate pairs.
  #string() {
    let end = this.#at + 1;
    for (let code = this.#text.charCodeAt(end); code !== 0x22; code = this.#text.charCodeAt(end)) {
      if (!(code >= 0x20)) throw fault();
      end += code === 0x5c ? 2 : 1;
    }
    const spelled = this.#text.slice(this.#at, end + 1);
    this.#at = end + 1;
    let string;
    try {
      string = JSON.parse(spelled);
    } catch {
      throw fault();
    }
    if (/\p{Surrogate}/u.test(string)) throw fault();
    return string;
  }

  #space() {
    this.#match(/[ \t\n\r]*/y);
  }

  #skip(character) {
    const found = this.#text[this.#at] === character;
    if (found) this.#at += 1;
    return found;
  }

  #match(pattern) {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found === null) return null;
    this.#at = pattern.lastIndex;
    return found[0];
  }
}
