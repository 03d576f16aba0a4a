// What the proof viewer shows of one climb: the verdict, the record, the ladder, ways to break it, and what can be taken away.

import { RUNGS, climb } from "../ladder.js";
import { WAYS, receiptText } from "../tamper.js";
import { toUtf8 } from "../text.js";
import { SAVED, getBytes, getText } from "../shell/api.js";
import { say, saveLink } from "../shell/copy.js";
import { byId, el, pairs, put, tag } from "../shell/dom.js";
import { indexLink } from "../shell/links.js";
import { trouble } from "../shell/page.js";
import { pin, pinned, unpin } from "../shell/pins.js";
import { time } from "../shell/time.js";
import { facts, raw, sentence } from "../shell/words.js";
import { command, rungs } from "./proof-ladder.js";

// `context`: {state, head, keys, evidence, engine, took, again, evidenceJson}; `broken`: the way in which it was broken, with what it did.
export function show(found, context, broken = null) {
  put(byId("verdict"), verdict(found, context, broken));
  const { record, bytes } = found;
  // What the request says is told only if it is what the record commits to.
  const parts = found.rungs.some(({ id, state }) => id === "recomputable" && state === "held") ? context.evidence.parts : null;
  put(byId("words"), el("h2", { id: "words-title" }, "The record in words"), record ? words(record, found, parts) : summary(found));
  if (bytes !== undefined) {
    const open = broken?.bit !== undefined;
    byId("words").append(el("details", { open }, el("summary", {}, "The record, raw"), raw(bytes, broken?.bit ?? null)));
  }
  put(byId("ladder"), rungs(found, broken === null ? { consistent: pinning(found, context) } : {}));
  put(byId("break"), breaking(found, context, broken));
  byId("break").hidden = broken === null && !(found.verified && found.form.form === "leaf");
  put(byId("not-checked"), notChecked(found, context));
  put(byId("take"), takeAway(found, context));
}

function verdict(found, { state, head, engine, took }, broken) {
  const { verdict: said } = found.verdict;
  const last = found.rungs.find(({ state }) => state === "failed");
  const code = said.code ?? last?.code;
  const good = el("p", { class: "big good" }, "Verified");
  const bad = el("p", { class: "big bad" }, code === "fork" ? "A fork" : "Not verified");
  const reason = last?.reason ?? said.reason;
  const where = found.verified
    ? el("p", {}, place(found, said, head))
    : el("p", {}, rungNamed(found.failed), reason, " · ", el("code", {}, code));
  return el(
    "div",
    { class: `notice ${found.verified ? "good" : "bad"}` },
    found.verified ? good : bad,
    broken && el("p", { class: "broken" }, el("strong", {}, "You broke it. "), broken.says),
    where,
    otherKey(state, head),
    strip(found.rungs),
    el("p", { class: "hint" }, computed(took, engine)),
  );
}

const computed = (took, engine) =>
  `Computed here in ${Math.max(1, Math.round(took))} ms; hashes by ${engine.hashes}, signatures by ${engine.signatures}.`;

function rungNamed(failed) {
  if (failed === "read") return "It could not be read: ";
  return ["It fails at the rung ", el("a", { href: `#rung-${failed}` }, RUNGS[failed]?.title ?? failed), ": "];
}

// The whole ladder at a glance; the words stand in the list below.
function strip(rungs) {
  const words = { held: "holds", failed: "fails", open: "not checked", below: "not reached" };
  return el("ol", { class: "strip" }, rungs.map(({ id, state }) => el(
    "li",
    { class: state },
    el("a", { href: `#rung-${id}` }, SHORT[id] ?? RUNGS[id].title, el("span", { class: "sr-only" }, `: ${words[state]}`)),
  )));
}

const SHORT = { consistent: "Consistent", signed: "Signed" };

// A log that changes its key says so in a freeze that names its successor; one that only shows another has to explain itself.
function otherKey({ log }, head) {
  const pin = head === null ? null : pinned(head.origin);
  if (pin === null || log?.origin !== head.origin || log.vkey === pin.vkey) return null;
  const strong = el("strong", {}, "This server now shows another key");
  return el("p", {}, strong, " than the one that you pinned, which is believed here. The other: ", el("code", {}, log.vkey));
}

function place(found, said, head) {
  const { form } = found.form;
  if (form === "bundle") return bundled(said);
  const origin = el("code", {}, said.origin);
  if (form === "leaf") return [`This record is entry ${said.index} of `, origin, `, under a head of ${said.size} entries that its key signed.`];
  if (form === "head") return ["This head of ", origin, `, ${head.size} entries, was signed by its key.`];
  return found.verdict.held.join("; ");
}

function bundled({ entries, allowed, denied, epochs, size, origin, choice }) {
  const under = epochs.length === 1 ? `epoch ${epochs[0]}` : `${epochs.length} epochs`;
  return [
    `${entries} records of `, el("code", {}, origin), ` under a head of ${size} entries that its key signed: ${allowed} decisions allowed and `,
    `${denied} denied under ${under}. Chosen as: `, el("code", {}, choice), ".",
  ];
}

function words(record, { form, verdict: { verdict } }, parts) {
  const outcome = record.kind !== "decision" ? null : tag(record.allow ? "allowed" : "denied", record.allow ? "good" : "bad");
  const index = form.index ?? verdict.claimed_index ?? null;
  return [el("p", { class: "sentence" }, outcome, outcome && " ", sentence(record, parts)), facts(record, index, parts)];
}

// Forms without a record of their own: what the verdict says, name by name.
function summary({ verdict: { verdict } }) {
  if (verdict.verified && Array.isArray(verdict.records) && verdict.choice !== undefined) return contents(verdict.records);
  const shown = Object.entries(verdict).filter(([, value]) => ["string", "bigint", "number"].includes(typeof value));
  return pairs(shown.map(([name, value]) => [name.replaceAll("_", " "), el("code", {}, String(value))]));
}

// The records of a bundle, as many as a person looks at; the offline page of `interlock verify --summary` has all.
const MOST_ROWS = 500;

function contents(records) {
  const parts = { disclosed: "here", committed: "committed", erased: "erased", lost: "lost" };
  const rows = records.slice(0, MOST_ROWS).map(({ index, kind, recorded_at, decision, request }) => el(
    "tr",
    {},
    el("th", { scope: "row" }, indexLink(index)),
    el("td", {}, decision === null ? kind : tag(decision.allow ? "allowed" : "denied", decision.allow ? "good" : "bad")),
    el("td", {}, recorded_at),
    el("td", {}, request === null ? "" : parts[request] ?? request),
  ));
  const head = ["Entry", "Record", "Recorded", "Request"].map((name) => el("th", { scope: "col" }, name));
  return el(
    "div",
    { class: "table", tabindex: 0, role: "region", "aria-label": "The records of the bundle" },
    el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows)),
    records.length > MOST_ROWS && el("p", { class: "hint" }, `The first ${MOST_ROWS} of ${records.length} records.`),
  );
}

// Offers to pin the head once its signature held.
function pinning(found, { state, head, again }) {
  if (found.verdict.verdict.verified !== true || head === null || found.failed !== null) return null;
  const kept = pinned(head.origin);
  const keep = el("button", { type: "button" }, `Pin this head of ${head.size} entries${kept === null ? "" : " instead"}`);
  keep.addEventListener("click", async () => {
    if (!pin(head.origin, state.key.text, found.form.checkpoint)) return say("This browser keeps nothing for this page");
    Object.assign(state, { kept: null, growth: null });
    await again();
    return say("Pinned");
  });
  const forget = el("button", { type: "button" }, "Forget the pin");
  forget.addEventListener("click", async () => {
    unpin(head.origin);
    Object.assign(state, { kept: null, growth: null });
    await again();
    say("Forgotten");
  });
  return el(
    "div",
    { class: "actions" },
    keep,
    kept && [forget, el("span", { class: "hint" }, "pinned ", time(kept.at))],
    el("span", { class: "hint" }, "Pins stay in this browser, with the key."),
  );
}

function breaking(found, context, broken) {
  // Only what holds can be broken.
  const { form, record, verified } = context.whole ?? found;
  const ways = verified && form.form === "leaf" && form.extra !== undefined ? WAYS : [];
  const buttons = ways.map((way) => {
    const button = el("button", { type: "button", "aria-pressed": String(broken?.id === way.id) }, way.label);
    button.addEventListener("click", () => breakIt(way, { form, record }, { ...context, whole: context.whole ?? found }));
    return button;
  });
  const restore = broken && el("button", { type: "button", class: "primary" }, "Put it right again");
  restore?.addEventListener("click", () => {
    context.again();
    byId("verdict").scrollIntoView({ block: "center" });
  });
  return [
    el("h2", { id: "break-title" }, "Break it"),
    el("p", {}, "A proof is worth what it refuses. Change one thing, and see which rung notices."),
    el("div", { class: "actions" }, buttons),
    el("div", { class: "actions" }, restore),
  ];
}

async function breakIt(way, { form, record }, context) {
  const { keys, evidence } = context;
  const result = keys.length === 0 ? null : await way.apply(form, { record, key: keys[0].key, parts: evidence.parts });
  if (result === null) return say("This does not apply to this record");
  const changed = {
    ...evidence,
    bytes: result.form === undefined ? evidence.bytes : toUtf8(receiptText(result.form)),
    leaves: result.form === undefined ? evidence.leaves : [],
    parts: result.parts ?? evidence.parts,
  };
  const believed = result.key === undefined ? keys : [{ key: result.key }];
  const begun = performance.now();
  const found = await climb(changed, believed);
  show(found, { ...context, took: performance.now() - begun }, { id: way.id, says: way.says, bit: result.bit });
  const button = [...byId("break").querySelectorAll("button")].find((one) => one.textContent === way.label);
  button?.focus({ preventScroll: true });
  byId("verdict").scrollIntoView({ block: "center" });
  return say(`Broken: fails at ${RUNGS[found.failed]?.title ?? found.failed}`);
}

function notChecked(found, { state }) {
  const compared = found.rungs.some(({ id, state }) => id === "consistent" && state === "held");
  // `judge` compares no sizes that it has no proof for; the ladder's own rung did.
  const list = found.verdict.not_checked.filter((said) => !(compared && said.startsWith("split view")));
  if (compared) list.unshift("split view: no witness or anchor was asked");
  const whose = SAVED ? "this page came from whoever saved it" : "this page is the operator's";
  list.push(`code and key: ${whose}. ${state.key?.source ?? ""}`);
  return [
    el("h2", { id: "not-title" }, "What was not checked"),
    el("ul", {}, list.map((said) => {
      const [name, ...rest] = said.split(": ");
      return el("li", {}, el("strong", {}, name), `: ${rest.join(": ")}`);
    })),
  ];
}

function takeAway({ form, verdict: { verdict } }, context) {
  const { state, evidenceJson } = context;
  const index = form?.index ?? verdict.claimed_index;
  const name = index === undefined ? form?.form ?? "receipt" : String(index);
  const ending = { bundle: "bundle", fork: "json", head: "checkpoint" }[form?.form] ?? "tlog-proof";
  const vkey = (state.key?.text ?? "KEY").replaceAll("'", "'\\''");
  const fetched = !SAVED && form?.form === "leaf";
  const lines = [
    fetched ? `curl -sS ${location.origin}/v1/receipts/${index} -o ${name}.tlog-proof` : null,
    `interlock verify ${name}.${ending} --vkey '${vkey}'`,
  ].filter(Boolean);
  return [
    el("h2", { id: "take-title" }, "Take it with you"),
    el("p", {}, "The same check, offline, without this page:"),
    command(lines.join("\n"), "command"),
    fetched && el("p", { class: "hint" }, "Without anything of ours: ", el("a", { href: "/#check" }, "openssl, sha256sum and Python"), "."),
    el(
      "div",
      { class: "actions" },
      saveLink(ending === "tlog-proof" ? "Receipt (tlog-proof)" : "This evidence", `${name}.${ending}`, "text/plain", () => (form?.form === "leaf" ? receiptText(form) : state.bytes)),
      fetched && saving("COSE", `${name}.cose`, "application/scitt-receipt+cose", index),
      fetched && saving("JSON", `${name}.json`, "application/json", index),
      !SAVED && wholePage(name, evidenceJson),
    ),
    !SAVED && el("p", { class: "hint" }, "The saved page is one file: this page, this evidence and the key. It checks all again when it is opened."),
    index !== undefined && !SAVED && el("p", { class: "hint" }, "Link to this entry: ", indexLink(index)),
  ];
}

// Another form of the receipt, fetched when it is asked for.
function saving(label, filename, accept, index) {
  return fetching(label, filename, accept, () => getBytes(`/v1/receipts/${index}`, { accept }));
}

// The page as one file, with the evidence in it. `<` is escaped, so that nothing in it can end the element.
function wholePage(name, evidenceJson) {
  return fetching("This page with this evidence", `interlock-proof-${name}.html`, "text/html", async () => {
    const page = await getText("/proof.html");
    const data = `<script type="application/json" id="evidence">${evidenceJson().replaceAll("<", "\\u003c")}</script>\n</head>`;
    return page.replace("</head>", () => data);
  });
}

function fetching(label, filename, mediaType, load) {
  const button = el("button", { type: "button" }, label);
  button.addEventListener("click", async () => {
    try {
      const content = await load();
      const link = saveLink(label, filename, mediaType, () => content);
      link.click();
      say(`${filename} saved`);
    } catch (error) {
      trouble(error);
    }
  });
  return button;
}
