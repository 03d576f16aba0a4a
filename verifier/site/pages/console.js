// The page `/console`: decisions by everything that is disclosed of them, and who governs them.
//
// Guarantees: what is shown is in the address, so that a link shows the same to others; a search that reads on by itself says how far it
// came, and ends. Does not check anything: every decision leads to its proof.

import { getJson, Problem } from "../shell/api.js";
import { byId, el, put } from "../shell/dom.js";
import { start, trouble } from "../shell/page.js";
import { decisionItem } from "./decision.js";
import { exported, keep, MOST, patient } from "./export.js";
import { showGovernance } from "./governance.js";
import { ask, CONDITIONS, FILTERS, read, understand, write } from "./search.js";

const LIMIT = 50;
// A search that finds nothing reads on by itself for so many looks: some hundred thousand entries.
const LOOKS = 24;

let round = 0;

async function show() {
  const mine = (round += 1);
  const state = read(location.search);
  for (const link of byId("views").children) {
    if (link.dataset.view === state.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const governing = state.view === "governance";
  byId("decisions").hidden = governing;
  byId("governance").hidden = !governing;
  const current = () => mine === round;
  trouble();
  try {
    await (governing ? showGovernance(state.epoch, current) : showDecisions(state, current));
  } catch (error) {
    if (!current()) return;
    byId("summary").textContent = "";
    trouble(error);
    if (!(error instanceof Problem)) throw error;
  }
}

async function showDecisions({ filters, before }, current) {
  fillForm(filters);
  put(byId("results"));
  put(byId("paging"));
  const { id, hash } = Object.keys(filters).length === 1 && filters.q !== undefined ? understand(filters.q) : {};
  if (id !== undefined || hash !== undefined) return showOne(id, hash, current);
  const found = await find(filters, before, current);
  if (!current()) return null;
  put(byId("results"), found.results.map((decision) => decisionItem(decision)));
  byId("summary").textContent = summary(found, filters);
  const inside = { data: { inside: true }, class: "button" };
  put(
    byId("paging"),
    before === null ? null : el("a", { ...inside, href: write(filters), rel: "first" }, "Newest"),
    found.next === null ? null : el("a", { ...inside, href: write(filters, found.next), rel: "next" }, found.results.length < LIMIT ? "Look further" : "Older"),
  );
  byId("exports").hidden = found.size === 0;
  return null;
}

// Looks until a page is full, or it has looked far enough.
async function find(filters, before, current) {
  const found = { results: [], unseen: 0, low: null, high: null, next: before, size: 0 };
  for (let looks = 0; looks < LOOKS && current(); looks += 1) {
    if (looks > 0) byId("summary").textContent = `Looked at ${count(found.high - found.low)} entries so far …`;
    const page = await patient(() => getJson(ask(filters, { limit: LIMIT - found.results.length, before: found.next })));
    found.results.push(...page.results);
    found.unseen += page.unseen;
    [found.low, found.high] = [page.scanned[0], found.high ?? page.scanned[1]];
    [found.next, found.size] = [page.next, page.size];
    if (page.next === null || found.results.length >= LIMIT) break;
  }
  return found;
}

const count = (value) => value.toLocaleString("en");

function summary({ results, unseen, low, high, next, size }, filters) {
  const any = Object.keys(filters).length > 0;
  if (size === 0) return "The log is empty: nothing was decided yet. Decisions appear here as soon as a service asks for one.";
  const looked = low === 0 && high === size ? `all ${count(size)} entries` : `entries ${count(low)} to ${count(Math.max(low, high - 1))} of ${count(size)}`;
  const what = results.length === 0 ? (any ? "Nothing found" : "No decisions") : `${count(results.length)} decision${results.length === 1 ? "" : "s"}, newest first`;
  const hidden = unseen === 0 ? "" : ` ${count(unseen)} more could not be looked into: their details are withheld.`;
  return `${what}; looked at ${looked}.${hidden}${next === null ? "" : " There is more."}`;
}

// One entry by its name. A hash may be a leaf's, or a commitment.
async function showOne(id, hash, current) {
  byId("exports").hidden = true;
  try {
    const decision = await patient(() => getJson(`/v1/decisions/${id ?? hash}`));
    if (!current()) return;
    put(byId("results"), decisionItem(decision, { open: true }));
    byId("summary").textContent = `Entry ${decision.index} has this ${id === undefined ? "leaf hash" : id.length === 32 ? "permit" : "index"}.`;
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== "unknown_id" || !current()) throw error;
    if (hash !== undefined) {
      history.replaceState(null, "", write({ commitment: hash }));
      await show();
    } else if (id.length === 32) {
      byId("summary").textContent = "No decision of this log has this permit.";
    } else {
      put(byId("results"), el("li", {}, el("p", { class: "notice" }, `Entry ${id} is there, and no decision. `, el("a", { href: `/proof?index=${id}` }, "Look at it and verify it"), ".")));
      byId("summary").textContent = "";
    }
  }
}

function fillForm(filters) {
  const form = byId("search");
  for (const input of form.elements) {
    if (input.name === "") continue;
    const value = filters[input.name] ?? "";
    input.value = input.type === "datetime-local" ? value.replace(/(\.\d+)?Z$/, "") : value;
  }
  if (Object.keys(filters).some((name) => !["q", "commitment"].includes(name))) byId("more").open = true;
  const chip = ([name, value]) => {
    const { [name]: _, ...rest } = filters;
    return el("a", { class: "chip", href: write(rest), data: { inside: true }, "aria-label": `Remove: ${FILTERS[name]} ${value}` }, el("span", { class: "quiet" }, `${FILTERS[name]} `), value, el("span", { "aria-hidden": "true" }, " ×"));
  };
  put(byId("chosen"), Object.entries(filters).map(chip));
}

function submitted(event) {
  event.preventDefault();
  const given = Object.fromEntries([...new FormData(byId("search"))].map(([name, value]) => [name, value.trim()]).filter(([, value]) => value !== ""));
  for (const name of ["from", "to"]) if (given[name] !== undefined) given[name] = `${given[name].length === 16 ? `${given[name]}:00` : given[name]}Z`;
  const { commitment } = read(location.search).filters;
  if (given.q !== undefined) {
    const meant = understand(given.q);
    if (meant.filters !== undefined) {
      delete given.q;
      Object.assign(given, meant.filters);
    } else {
      // A name is a name; other filters would only hide what it names.
      return go(write({ q: given.q }));
    }
  }
  return go(write(commitment === undefined ? given : { ...given, commitment }));
}

function go(href) {
  history.pushState(null, "", href);
  return show();
}

async function save(button) {
  const said = byId("export-said");
  const { format } = button.dataset;
  const buttons = [...byId("exports").querySelectorAll("button")];
  const stop = new AbortController();
  const cancel = el("button", { type: "button", on: { click: () => stop.abort() } }, "Stop");
  buttons.forEach((one) => (one.disabled = true));
  button.after(cancel);
  try {
    const { filters } = read(location.search);
    const tell = (done) => (said.textContent = `${count(done)} decisions …`);
    const { blob, count: done, complete } = await exported(filters, format, { signal: stop.signal, tell });
    keep(blob, `decisions.${format}`, byId("kept"));
    said.textContent = complete ? `${count(done)} decisions: all that there are.` : `${count(done)} decisions, the newest: a file ends at ${count(MOST)}.`;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    said.textContent = "Stopped; nothing was kept.";
  } finally {
    cancel.remove();
    buttons.forEach((one) => (one.disabled = false));
  }
}

start(async () => {
  byId("f-condition").append(...CONDITIONS.map((name) => el("option", { value: name }, name)));
  byId("search").addEventListener("submit", submitted);
  for (const button of byId("exports").querySelectorAll("button")) button.addEventListener("click", () => save(button).catch(trouble));
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='/console']");
    if (!link || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(link.getAttribute("href")).then(() => scrollTo({ top: byId("views").offsetTop - 16 }));
  });
  addEventListener("popstate", show);
  await show();
});
