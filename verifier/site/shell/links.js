// Every value a link: where a permit, an index, a leaf hash or an epoch is shown.
//
// Guarantees: the same value leads to the same place from every page. Hashes and ids are shown whole to those who copy them, and cut for
// those who only compare them at a glance.

import { b64, hex, unb64Hash } from "../text.js";
import { SAVED } from "./api.js";
import { el } from "./dom.js";

// A saved page leads nowhere: there a value is text.
function link(href, words, title) {
  const code = el("code", { title }, words);
  return SAVED ? code : el("a", { href }, code);
}

const short = (text) => (text.length > 16 ? `${text.slice(0, 8)}…${text.slice(-6)}` : text);

export const permitLink = (id, { whole = true } = {}) => link(`/proof?permit=${id}`, whole ? id : short(id), `permit ${id}`);

export const indexLink = (index) => link(`/proof?index=${index}`, String(index), `entry ${index}`);

// `leaf` as 32 bytes or as base64.
export function leafLink(leaf, { whole = true } = {}) {
  const digits = hex(typeof leaf === "string" ? unb64Hash(leaf) : leaf);
  return link(`/proof?leaf=${digits}`, whole ? digits : short(digits), `leaf hash ${digits}`);
}

export const epochLink = (epoch) => link(`${has("/console") ? "/console?epoch=" : "/v1/epochs/"}${epoch}`, String(epoch), `epoch ${epoch}`);

// A permit's ancestors and descendants.
export const lineageLink = (id, words = "lineage") =>
  has("/lineage") && !SAVED ? el("a", { href: `/lineage?permit=${id}` }, words) : null;

// A hash that is no leaf: cut ("brief" for equations), whole in its title.
export function hash(bytes, { whole = false, brief = false } = {}) {
  const digits = hex(bytes);
  const cut = brief ? `${digits.slice(0, 6)}…${digits.slice(-4)}` : short(digits);
  return el("code", { title: `${digits} · base64 ${b64(bytes)}` }, whole ? digits : cut);
}

// Whether this server has the page.
const has = (path) => document.querySelector(`nav a[href="${path}"]`) !== null;
