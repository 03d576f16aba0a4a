// Ed25519 (RFC 8032) as strictly as the Rust verifier checks it (`verify_strict` and the rules for keys in `note.rs`).
//
// Verifiers in the field differ on four things: a scalar S that is not reduced, points in a second spelling, points of small order, and
// whether the equation is taken times 8. WebCrypto leaves all four to the browser. So they are settled here, before it is asked:
//   * a key must be spelled canonically, be on the curve, and lie in the subgroup of prime order, not at its neutral element;
//   * S must be below the order ℓ;
//   * R must be spelled canonically and lie in that subgroup too. The strict equation R = [S]B − [k]A demands that anyway, since B and A lie
//     in it; and with R, A and B in it the equation and eight times the equation are the same, so every library gives one answer.
// What is left is the equation itself: WebCrypto checks it, or the lines below do where it cannot. Nothing here is secret, so nothing
// has to take constant time.

import { webcryptoHasEd25519, webcryptoVerify } from "./engines.js";
import { sha512 } from "./sha2.js";
import { concat, equal } from "./text.js";

const P = (1n << 255n) - 19n;
const ORDER = (1n << 252n) + 27742317777372353535851937790883648493n;
const modulo = (value, by = P) => ((value % by) + by) % by;

function power(base, exponent) {
  let result = 1n;
  for (let bit = exponent; bit > 0n; bit >>= 1n) {
    if (bit & 1n) result = (result * base) % P;
    base = (base * base) % P;
  }
  return result;
}

const inverse = (value) => power(value, P - 2n);
const D = modulo(-121665n * inverse(121666n));
const ROOT_OF_MINUS_ONE = power(2n, (P - 1n) / 4n);

// Points in extended coordinates (RFC 8032 §5.1.4): x = X/Z, y = Y/Z, xy = T/Z.
const NEUTRAL = { x: 0n, y: 1n, z: 1n, t: 0n };

function add(p, q) {
  const a = modulo((p.y - p.x) * (q.y - q.x));
  const b = ((p.y + p.x) * (q.y + q.x)) % P;
  const c = (((2n * p.t * q.t) % P) * D) % P;
  const d = (2n * p.z * q.z) % P;
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return { x: modulo(e * f), y: modulo(g * h), z: modulo(f * g), t: modulo(e * h) };
}

function times(point, scalar) {
  let result = NEUTRAL;
  let doubled = point;
  for (let bit = scalar; bit > 0n; bit >>= 1n) {
    if (bit & 1n) result = add(result, doubled);
    doubled = add(doubled, doubled);
  }
  return result;
}

const isNeutral = (p) => p.x === 0n && p.y === p.z;
const negated = (p) => ({ x: modulo(-p.x), y: p.y, z: p.z, t: modulo(-p.t) });

function fromLittleEndian(bytes) {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

// RFC 8032 §5.1.3, and null for a y that is not below p or a negative zero.
function decompress(bytes) {
  const packed = fromLittleEndian(bytes);
  const sign = packed >> 255n;
  const y = packed & ((1n << 255n) - 1n);
  if (y >= P) return null;
  const [u, v] = [modulo(y * y - 1n), modulo(D * y * y + 1n)];
  let x = modulo(u * power(v, 3n) * power(u * power(v, 7n), (P - 5n) / 8n));
  if (modulo(v * x * x) !== u) x = modulo(x * ROOT_OF_MINUS_ONE);
  if (modulo(v * x * x) !== u || (x === 0n && sign === 1n)) return null;
  if ((x & 1n) !== sign) x = P - x;
  return { x, y, z: 1n, t: (x * y) % P };
}

function compress(point) {
  const z = inverse(point.z);
  const packed = ((point.y * z) % P) | (((point.x * z) % P & 1n) << 255n);
  return Uint8Array.from({ length: 32 }, (_, i) => Number((packed >> BigInt(8 * i)) & 0xffn));
}

const BASE = decompress(Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 0x58 : 0x66)));

// The point of the subgroup of prime order that these 32 bytes spell, else null. The neutral element is refused too.
function goodPoint(bytes) {
  const point = decompress(bytes);
  return point !== null && !isNeutral(point) && isNeutral(times(point, ORDER)) ? point : null;
}

// A public key that may be believed.
export const isGoodKey = (key) => key.length === 32 && goodPoint(key) !== null;

// Whether `signature` is that of `key`, a good one, over `message`.
export async function verifyStrict(key, message, signature) {
  if (signature.length !== 64) return false;
  const [r, s] = [signature.subarray(0, 32), fromLittleEndian(signature.subarray(32))];
  if (s >= ORDER || goodPoint(r) === null) return false;
  if (await webcryptoHasEd25519()) return webcryptoVerify(key, message, signature);
  const k = fromLittleEndian(await sha512(concat(r, key, message))) % ORDER;
  return equal(compress(add(times(BASE, s), times(negated(decompress(key)), k))), r);
}
