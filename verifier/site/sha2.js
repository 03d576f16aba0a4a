// SHA-256 and SHA-512 (FIPS 180-4): by WebCrypto, and by our own arithmetic where a browser keeps WebCrypto from a page (it does so for
// pages that came over plain HTTP from another machine).
//
// Guarantees: both ways give the same bytes (the corpus is judged by both). `engines.js` says which one ran.
// Does not hide anything from timing: everything that is hashed here is public.

import { ownArithmetic } from "./engines.js";
import { concat } from "./text.js";

export async function sha256(bytes) {
  if (ownArithmetic()) return ownSha256(bytes);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

export async function sha512(bytes) {
  if (ownArithmetic()) return ownSha512(bytes);
  return new Uint8Array(await crypto.subtle.digest("SHA-512", bytes));
}

// Merkle tree hashing of RFC 6962 §2.1: a leaf behind 0x00, a node behind 0x01, so no leaf can pass for a node.
export const leafHash = (entry) => sha256(concat([0], entry));
export const nodeHash = (left, right) => sha256(concat([1], left, right));

// FIPS 180-4 §4.2.3, §5.3: the first 64 bits of the fractional parts of square and cube roots of the first primes. SHA-256 takes the first
// 32 bits of the same numbers.
const PRIMES = [];
for (let n = 2; PRIMES.length < 80; n += 1) if (PRIMES.every((prime) => n % prime !== 0)) PRIMES.push(n);

// 2^64 times the root of a prime, of degree 2 or 3, without its integer part: bit by bit, in whole numbers.
function fraction(prime, degree) {
  const target = BigInt(prime) << (64n * degree);
  let root = 0n;
  for (let bit = 1n << 69n; bit > 0n; bit >>= 1n) if ((root | bit) ** degree <= target) root |= bit;
  return BigInt.asUintN(64, root);
}

const K512 = PRIMES.map((prime) => fraction(prime, 3n));
const H512 = PRIMES.slice(0, 8).map((prime) => fraction(prime, 2n));
const K256 = K512.slice(0, 64).map((word) => Number(word >> 32n));
const H256 = H512.map((word) => Number(word >> 32n));

// The message, 0x80, zeros, and its length in bits at the end of the last block.
function padded(bytes, block) {
  const lengthAt = block / 8;
  const size = Math.ceil((bytes.length + 1 + lengthAt) / block) * block;
  const out = new Uint8Array(size);
  out.set(bytes);
  out[bytes.length] = 0x80;
  new DataView(out.buffer).setBigUint64(size - 8, BigInt(bytes.length) * 8n);
  return new DataView(out.buffer);
}

export function ownSha256(bytes) {
  const message = padded(bytes, 64);
  const state = [...H256];
  const w = new Int32Array(64);
  const right = (word, by) => (word >>> by) | (word << (32 - by));
  for (let start = 0; start < message.byteLength; start += 64) {
    for (let t = 0; t < 16; t += 1) w[t] = message.getInt32(start + 4 * t);
    for (let t = 16; t < 64; t += 1) {
      const low = right(w[t - 15], 7) ^ right(w[t - 15], 18) ^ (w[t - 15] >>> 3);
      const high = right(w[t - 2], 17) ^ right(w[t - 2], 19) ^ (w[t - 2] >>> 10);
      w[t] = w[t - 16] + low + w[t - 7] + high;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let t = 0; t < 64; t += 1) {
      const sum1 = right(e, 6) ^ right(e, 11) ^ right(e, 25);
      const t1 = (h + sum1 + ((e & f) ^ (~e & g)) + K256[t] + w[t]) | 0;
      const sum0 = right(a, 2) ^ right(a, 13) ^ right(a, 22);
      const t2 = (sum0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => (state[i] = (state[i] + word) | 0));
  }
  const out = new DataView(new ArrayBuffer(32));
  state.forEach((word, i) => out.setInt32(4 * i, word));
  return new Uint8Array(out.buffer);
}

export function ownSha512(bytes) {
  const message = padded(bytes, 128);
  const state = [...H512];
  const word64 = (word) => BigInt.asUintN(64, word);
  const right = (word, by) => (word >> by) | word64(word << (64n - by));
  const w = [];
  for (let start = 0; start < message.byteLength; start += 128) {
    for (let t = 0; t < 16; t += 1) w[t] = message.getBigUint64(start + 8 * t);
    for (let t = 16; t < 80; t += 1) {
      const low = right(w[t - 15], 1n) ^ right(w[t - 15], 8n) ^ (w[t - 15] >> 7n);
      const high = right(w[t - 2], 19n) ^ right(w[t - 2], 61n) ^ (w[t - 2] >> 6n);
      w[t] = word64(w[t - 16] + low + w[t - 7] + high);
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let t = 0; t < 80; t += 1) {
      const sum1 = right(e, 14n) ^ right(e, 18n) ^ right(e, 41n);
      const t1 = h + sum1 + ((e & f) ^ (word64(~e) & g)) + K512[t] + w[t];
      const sum0 = right(a, 28n) ^ right(a, 34n) ^ right(a, 39n);
      const t2 = sum0 + ((a & b) ^ (a & c) ^ (b & c));
      [h, g, f, e, d, c, b, a] = [g, f, e, word64(d + t1), c, b, a, word64(t1 + t2)];
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => (state[i] = word64(state[i] + word)));
  }
  const out = new DataView(new ArrayBuffer(64));
  state.forEach((word, i) => out.setBigUint64(8 * i, word));
  return new Uint8Array(out.buffer);
}
