// The spellings in which the log writes bytes and numbers: base64, lower-case hex, decimal, UTF-8 (RFC 4648 §4, §8; RFC 3629).
//
// Guarantees: each value has one spelling; what these functions read, they write back character for character. `atob` is not used: it
// passes over white space and missing padding.

import { Fault } from "./fault.js";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const VALUE = new Int8Array(128).fill(-1);
for (let i = 0; i < 64; i += 1) VALUE[ALPHABET.charCodeAt(i)] = i;

// Numbers in the log stay below 2^63: clients in Go and SQL read them as signed 64-bit integers.
export const DECIMAL_LIMIT = 1n << 63n;

// Strict standard base64: with padding, unused bits zero.
export function unb64(text) {
  const bad = () => new Fault("base64", "not standard base64 with padding");
  if (text.length % 4 !== 0) throw bad();
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const digits = text.length - padding;
  const bytes = new Uint8Array((text.length / 4) * 3 - padding);
  let bits = 0;
  let held = 0;
  let at = 0;
  for (let i = 0; i < digits; i += 1) {
    const code = text.charCodeAt(i);
    const value = code < 128 ? VALUE[code] : -1;
    if (value < 0) throw bad();
    held = ((held << 6) | value) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[at] = (held >> bits) & 0xff;
      at += 1;
    }
  }
  if (bits > 0 && (held & ((1 << bits) - 1)) !== 0) throw bad();
  return bytes;
}

export function b64(bytes) {
  let out = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const group = (bytes[i] << 16) | ((left > 1 ? bytes[i + 1] : 0) << 8) | (left > 2 ? bytes[i + 2] : 0);
    out += ALPHABET[group >> 18] + ALPHABET[(group >> 12) & 63];
    out += left > 1 ? ALPHABET[(group >> 6) & 63] : "=";
    out += left > 2 ? ALPHABET[group & 63] : "=";
  }
  return out;
}

// A hash as text: base64 of exactly 32 bytes. The length comes first, so that a shorter or longer value never reaches a comparison.
export function unb64Hash(text) {
  const wrong = () => new Fault("length", "wrong length");
  if (utf8Length(text) !== 44) throw wrong();
  const bytes = unb64(text);
  if (bytes.length > 32) throw new Fault("base64", "not standard base64 with padding");
  if (bytes.length < 32) throw wrong();
  return bytes;
}

export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Lower-case hexadecimal digits in pairs.
export function unhex(text) {
  if (text.length % 2 !== 0 || /[^0-9a-f]/.test(text)) throw new Fault("hex", "not lower-case hex");
  return Uint8Array.from({ length: text.length / 2 }, (_, i) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16));
}

// A decimal without sign, spaces and leading zeros, below 2^63, as a BigInt.
export function decimal(text) {
  if (text === "" || /[^0-9]|^0./.test(text)) throw new Fault("decimal", "not a plain decimal number");
  const value = text.length > 19 ? DECIMAL_LIMIT : BigInt(text);
  if (value >= DECIMAL_LIMIT) throw new Fault("range", "number is not below 2^63");
  return value;
}

// UTF-8 to a string; null where it is not UTF-8. A byte order mark stays what it is: a character.
export function utf8(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

const encoder = new TextEncoder();

export function toUtf8(text) {
  return encoder.encode(text);
}

// Limits are in bytes, as the specifications count.
export function utf8Length(text) {
  return encoder.encode(text).length;
}

export function equal(left, right) {
  return left.length === right.length && left.every((byte, i) => byte === right[i]);
}

export function concat(...parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

// A time in Unix milliseconds (a BigInt) as RFC 3339 in UTC. Times after 9999-12-30T22:00:00Z, which in some zone is another year, are
// written as the last millisecond of the year 9999.
export function rfc3339(unixMs) {
  const last = 253_402_207_200_000n;
  return unixMs > last ? "9999-12-31T23:59:59.999Z" : new Date(Number(unixMs)).toISOString();
}
