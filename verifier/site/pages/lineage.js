// The page `/lineage`: what a permit descends from and what descends from it, drawn as a tree along time, each node verified here.
//
// Guarantees: only rows that are seen are in the document, so that thousands stay usable; receipts are fetched for what is seen, or for all
// when asked; what the server could not look into is counted and said. Does not say that an execution ran: a state is what the log tells.

import { parseKey } from "../note.js";
import { getJson } from "../shell/api.js";
import { byId, el, pairs, put, tag } from "../shell/dom.js";
import { indexLink, permitLink } from "../shell/links.js";
import { start, trouble } from "../shell/page.js";
import { relative, span, time } from "../shell/time.js";
import { entity } from "./decision.js";
import { patient } from "./export.js";
import { Prover, withheld } from "./prove.js";
import { Tree } from "./descent.js";

// Looks that follow one another by themselves: each reads a thousand records.
const LOOKS = 32;
// Rows that are drawn above and below what is seen.
const SPARE = 6;
const TABLE_ROWS = 100;

const STATES = {
  open: ["good", "it holds now"], closed: ["", "its execution ended"], halted: ["bad", "stopped by a switch"], expired: ["open", "its time is over"],
  revoked: ["bad", "taken back"], denied: ["bad", "it never was allowed"], unknown: ["", "an archive does not know"],
};

let tree = null;
let prover = null;
let rows = [];
let active = null;
let next = null;
let looked = { hidden: 0, unknown: 0, size: 0 };
let tabled = TABLE_ROWS;

async function show(permit) {
  byId("permit").value = permit;
  const first = await patient(() => getJson(`/v1/lineage/${permit}`));
  tree = new Tree(first);
  looked = { hidden: first.hidden, unknown: first.unknown, size: first.size };
  next = first.next;
  active = permit;
  byId("lineage").hidden = false;
  byId("begin").hidden = true;
  document.title = `${permit.slice(0, 8)}… · Lineage · Interlock`;
  redraw();
  choose(permit);
  await further();
}

// Goes on looking for descendants.
async function further() {
  const button = byId("further");
  button.hidden = true;
  for (let looks = 0; next !== null && looks < LOOKS; looks += 1) {
    byId("looked").textContent = `Looking for descendants: ${count(next)} of ${count(looked.size)} entries read …`;
    const page = await patient(() => getJson(`/v1/lineage/${tree.asked}?from=${next}`));
    tree.grow(page.descendants);
    looked = { hidden: looked.hidden + page.hidden, unknown: looked.unknown + page.unknown, size: page.size };
    next = page.next;
    if (page.descendants.length > 0) redraw();
  }
  button.hidden = next === null;
  redraw();
}

const count = (value) => value.toLocaleString("en");

function words() {
  const told = [];
  if (next !== null) told.push(`Read up to entry ${count(next)} of ${count(looked.size)}; there may be more descendants.`);
  else told.push("All that may descend from it was looked at.");
  if (looked.hidden > 0) told.push(`${count(looked.hidden)} decision${looked.hidden === 1 ? "" : "s"} of its realm may descend from it too: what would tell is withheld.`);
  if (looked.unknown > 0) told.push(`Of ${count(looked.unknown)} the present state is not known here.`);
  return told.join(" ");
}

// Everything anew: after more nodes, or a fold.
function redraw() {
  rows = tree.rows();
  byId("looked").textContent = words();
  counts();
  axis();
  draw();
  if (byId("as-table").open) table();
}

function counts() {
  const states = {};
  let depth = 0;
  for (const { node, depth: at } of tree.nodes()) {
    states[node.state] = (states[node.state] ?? 0) + 1;
    depth = Math.max(depth, at);
  }
  const figure = (name, value) => el("div", {}, el("dt", {}, name), el("dd", { class: "large" }, value));
  const told = Object.keys(STATES).filter((state) => states[state]).map((state) => figure(state, count(states[state])));
  put(byId("counts"), figure("Permits", count(tree.size)), figure("Generations", depth + 1), told);
}

// Time.

const share = (ms) => {
  const [from, to] = tree.span();
  return Math.min(100, Math.max(0, ((ms - from) / (to - from)) * 100));
};

function axis() {
  const [from, to] = tree.span();
  const ticks = [0, 0.5, 1].map((part) => {
    const at = from + (to - from) * part;
    return el("span", { class: `tick t${part * 100}` }, part === 0 ? new Date(at).toISOString().slice(0, 19).replace("T", " ") : `+${span(at - from)}`);
  });
  put(byId("axis"), el("span", {}, "Permit"), el("span", { class: "ticks" }, ticks));
}

function bar(node) {
  const from = share(Date.parse(node.recorded_at));
  const to = share(Date.parse(node.expires_at ?? node.recorded_at));
  const piece = el("span", { class: `life ${STATES[node.state]?.[0] ?? ""}` });
  piece.style.left = `${from}%`;
  piece.style.width = `${Math.max(to - from, 0.6)}%`;
  const [begin, end] = tree.span();
  const now = Date.now();
  const line = now > begin && now < end ? el("span", { class: "now" }) : null;
  if (line !== null) line.style.left = `${share(now)}%`;
  const lease = node.lease_ends_at ? el("span", { class: "lease", title: `lease until ${node.lease_ends_at}` }) : null;
  if (lease !== null) lease.style.left = `${share(Date.parse(node.lease_ends_at))}%`;
  return el("span", { class: "lives", "aria-hidden": "true" }, piece, lease, line);
}

// The rows that are seen.

function rowHeight() {
  return parseFloat(getComputedStyle(byId("tree")).getPropertyValue("--row"));
}

function draw() {
  const place = byId("tree");
  const height = rowHeight();
  const first = Math.max(0, Math.floor(place.scrollTop / height) - SPARE);
  const last = Math.min(rows.length, Math.ceil((place.scrollTop + place.clientHeight) / height) + SPARE);
  const space = el("div", { class: "space", role: "none" });
  space.style.height = `${rows.length * height}px`;
  for (let at = first; at < last; at += 1) space.append(row(rows[at], at, height));
  const top = place.scrollTop;
  put(place, space);
  place.scrollTop = top;
  mark();
  for (let at = first; at < last; at += 1) verify(rows[at].node);
}

const rowId = (permit) => `n${permit}`;

function row({ node, depth, rails, place, of, children, folded, lost }, at, height) {
  const mine = node.permit === tree.asked;
  const item = el(
    "div",
    {
      id: rowId(node.permit), class: `node${mine ? " asked" : ""}`, role: "treeitem", "aria-level": depth + 1, "aria-setsize": of, "aria-posinset": place,
      "aria-expanded": children === 0 ? null : String(!folded), "aria-selected": "false", data: { permit: node.permit },
    },
    el("span", { class: "rails", "aria-hidden": "true" }, rails.map((on, level) => level === 0 ? null : el("i", { class: on ? "rail" : "" })), depth > 0 ? el("i", { class: place < of ? "tee" : "corner" }) : null),
    el("span", { class: `fold${children === 0 ? " none" : ""}`, "aria-hidden": "true" }, children === 0 ? "" : folded ? "▸" : "▾"),
    el(
      "span",
      { class: "said" },
      el("span", { class: "first" }, tag(node.state, STATES[node.state]?.[0] ?? ""), " ", name(node), folded ? el("span", { class: "quiet" }, ` +${count(children)}`) : null),
      el("span", { class: "scopes" }, proofMark(node), scopes(node, lost)),
    ),
    bar(node),
  );
  item.style.transform = `translateY(${at * height}px)`;
  return item;
}

function name(node) {
  const why = withheld(node);
  if (why) return el("span", { class: "quiet" }, `${node.permit.slice(0, 8)}… · ${why}`);
  return el("span", {}, el("b", {}, node.subject.id), ` ${node.action} `, el("span", { class: "quiet" }, node.resource.id));
}

function scopes(node, lost) {
  if (!node.scopes) return null;
  const has = node.scopes.map((scope) => el("code", { class: "scope" }, scope));
  const gone = (lost ?? []).map((scope) => el("code", { class: "scope gone", title: "its parent has it, it has not" }, scope));
  return [node.scopes.length === 0 && gone.length === 0 ? el("span", { class: "quiet" }, "no scopes") : null, has, gone];
}

function proofMark(node) {
  const known = prover.known(node.permit);
  if (known === undefined) return el("span", { class: "proof quiet", title: "not verified yet" }, "…");
  if (known.verified === null) return el("span", { class: "proof open", title: known.why }, "? not fetched");
  return known.verified
    ? el("span", { class: "proof good", title: known.why }, "✓ verified")
    : el("span", { class: "proof bad", title: known.why }, "✗ does not verify");
}

async function verify(node) {
  if (prover.known(node.permit) !== undefined) return;
  await prover.prove(node);
  const item = document.getElementById(rowId(node.permit));
  item?.querySelector(".proof")?.replaceWith(proofMark(node));
  if (node.permit === active) choose(active);
  tellProved();
}

function tellProved() {
  const results = tree.nodes().map(({ node }) => prover.known(node.permit)).filter(Boolean);
  const good = results.filter(({ verified }) => verified === true).length;
  const bad = results.filter(({ verified }) => verified === false).length;
  byId("proved").textContent = `${count(good)} of ${count(tree.size)} verified in this page${bad > 0 ? `, ${count(bad)} do not verify` : ""}.`;
}

// Choosing.

function mark() {
  const place = byId("tree");
  for (const item of place.querySelectorAll(".node")) item.setAttribute("aria-selected", String(item.dataset.permit === active));
  if (document.getElementById(rowId(active))) place.setAttribute("aria-activedescendant", rowId(active));
  else place.removeAttribute("aria-activedescendant");
}

function choose(permit, { into = false } = {}) {
  active = permit;
  mark();
  const { node, parent, depth, lost } = tree.get(permit);
  const known = prover.known(permit);
  const why = withheld(node);
  const code = (scope) => [el("code", {}, scope), " "];
  put(
    byId("one"),
    el("h2", {}, name(node), " ", tag(node.state, STATES[node.state]?.[0] ?? "")),
    el("p", { class: "actions" }, el("a", { class: "button primary", href: `/proof?index=${node.index}` }, "Its proof"),
      permit === tree.asked ? null : el("a", { class: "button", href: `/lineage?permit=${permit}` }, "Begin with it"),
      el("a", { href: `/v1/receipts/${node.index}`, download: `${node.index}.tlog-proof` }, "Receipt")),
    pairs([
      ["Permit", permitLink(permit)],
      ["State", `${node.state}: ${STATES[node.state]?.[1] ?? ""}`],
      ["Proof", known === undefined ? "is being verified" : [proofMark(node), ` ${known.why}`, known.held.length > 0 ? el("ul", {}, known.held.map((rung) => el("li", {}, rung))) : null]],
      ["Subject", why ? null : el("a", { href: `/console?subject=${encodeURIComponent(entity(node.subject))}` }, entity(node.subject))],
      ["Action", why ? null : el("a", { href: `/console?action=${encodeURIComponent(node.action)}` }, node.action)],
      ["Resource", why ? null : el("a", { href: `/console?resource=${encodeURIComponent(entity(node.resource))}` }, entity(node.resource))],
      ["Withheld", why],
      ["Scopes", node.scopes?.length > 0 ? node.scopes.map(code) : null],
      ["No more than its parent: without", lost?.length > 0 ? lost.map(code) : null],
      ["May delegate to", node.delegates?.length > 0 ? node.delegates.join(", ") : null],
      ["Parent", parent === null ? (why ? "not known" : "none: it is the first") : permitLink(parent)],
      ["Children", tree.children(permit).length],
      ["Generation", depth + 1],
      ["Realm", node.realm && el("a", { href: `/console?realm=${encodeURIComponent(node.realm)}` }, node.realm)],
      ["Audience", node.audience],
      ["Entry", indexLink(node.index)],
      ["Recorded", time(node.recorded_at)],
      ["Expires", node.expires_at ? time(node.expires_at) : null],
      ["Lease ends", node.lease_ends_at ? time(node.lease_ends_at) : null],
    ]),
  );
  if (into) byId("one").scrollIntoView({ block: "start" });
}

// Brings a row into what is seen.
function reveal(at) {
  const place = byId("tree");
  const height = rowHeight();
  const top = at * height;
  if (top < place.scrollTop) place.scrollTop = top;
  else if (top + height > place.scrollTop + place.clientHeight) place.scrollTop = top + height - place.clientHeight;
  draw();
}

function pressed(event) {
  const at = rows.findIndex(({ node }) => node.permit === active);
  const here = rows[at] ?? rows[0];
  const page = Math.max(1, Math.floor(byId("tree").clientHeight / rowHeight()) - 1);
  const to = (place) => {
    const found = rows[Math.min(Math.max(place, 0), rows.length - 1)];
    choose(found.node.permit);
    reveal(rows.indexOf(found));
  };
  const steps = {
    ArrowDown: () => to(at + 1), ArrowUp: () => to(at - 1), PageDown: () => to(at + page), PageUp: () => to(at - page), Home: () => to(0), End: () => to(rows.length - 1),
    ArrowRight: () => (here.folded ? unfoldAt(here, false) : here.children > 0 ? to(at + 1) : null),
    ArrowLeft: () => (!here.folded && here.children > 0 ? unfoldAt(here, true) : here.parent === null ? null : to(rows.findIndex(({ node }) => node.permit === here.parent))),
    Enter: () => choose(here.node.permit, { into: true }),
    " ": () => choose(here.node.permit),
  };
  if (steps[event.key] === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  steps[event.key]();
}

function unfoldAt({ node }, folded) {
  if (tree.fold(node.permit, folded)) redraw();
}

function clicked(event) {
  const item = event.target.closest(".node");
  if (item === null) return;
  const { permit } = item.dataset;
  if (event.target.closest(".fold")) unfoldAt({ node: { permit } }, !tree.isCollapsed(permit));
  else choose(permit);
}

// The table.

function table() {
  const shown = rows.slice(0, tabled);
  const cells = ({ node, depth }) => {
    const why = withheld(node);
    const known = prover.known(node.permit);
    const values = [
      depth + 1, node.state, why ?? entity(node.subject), why ?? node.action, why ?? entity(node.resource), (node.scopes ?? []).join(" "),
      time(node.recorded_at), node.expires_at ? time(node.expires_at) : "–", known === undefined ? "not verified yet" : known.verified ? "verified" : known.why,
    ];
    return el("tr", {}, el("th", { scope: "row" }, permitLink(node.permit, { whole: false })), values.map((value) => el("td", {}, value)));
  };
  put(byId("rows"), shown.map(cells));
  byId("more-rows").hidden = tabled >= rows.length;
}

// Where there is no permit yet.
async function begin() {
  byId("begin").hidden = false;
  const page = await patient(() => getJson("/v1/decisions?outcome=allow&limit=200"));
  const seen = page.results.filter(({ withheld }) => withheld === null);
  const related = seen.filter(({ parent, delegates }) => parent !== null || delegates.length > 0);
  const chosen = (related.length > 0 ? related : seen).slice(0, 12);
  byId("begin-words").textContent = chosen.length === 0
    ? "No permit was issued yet. As soon as one is, it can be looked at here; one that names delegates may have descendants."
    : related.length > 0 ? "The newest permits that descend from another, or that others may descend from:" : "No permit of late has delegates or a parent, so each stands alone. The newest:";
  const item = (one) => el("li", {}, el("a", { href: `/lineage?permit=${one.permit}` }, one.permit), " ", el("b", {}, one.subject.id), ` ${one.action} ${one.resource.id} `, el("span", { class: "quiet" }, relative(Date.parse(one.recorded_at))));
  put(byId("recent"), chosen.map(item));
}

start(async () => {
  const place = byId("tree");
  place.addEventListener("scroll", () => requestAnimationFrame(draw));
  place.addEventListener("keydown", pressed);
  place.addEventListener("click", clicked);
  addEventListener("resize", () => tree && draw());
  byId("fold").addEventListener("click", () => (tree.foldBelow(1), redraw()));
  byId("unfold").addEventListener("click", () => (tree.foldBelow(null), redraw()));
  byId("further").addEventListener("click", () => further().catch(trouble));
  byId("all").addEventListener("click", () => tree.nodes().forEach(({ node }) => verify(node)));
  byId("as-table").addEventListener("toggle", () => byId("as-table").open && table());
  byId("more-rows").addEventListener("click", () => ((tabled += TABLE_ROWS), table()));
  const permit = new URLSearchParams(location.search).get("permit");
  prover = new Prover(await parseKey((await getJson("/v1/log")).vkey));
  await (permit === null || permit === "" ? begin() : show(permit.trim()));
});
