// The page `/demo`: rules and a request of the visitor's own, decided by the sandbox, verified here, and broken here.
//
// Guarantees: the key is the one that the sandbox told before the decision was asked for; where its log has begun anew since, the page says
// so. What the server says is shown as text and believed only after the ladder.

import { engines } from "../engines.js";
import { toUtf8, unb64 } from "../text.js";
import { getBytes, getJson, Problem } from "../shell/api.js";
import { say, saveLink } from "../shell/copy.js";
import { byId, el, put, tag } from "../shell/dom.js";
import { start, trouble } from "../shell/page.js";
import { drawing } from "../shell/tree-view.js";
import { board, facts, outcome } from "./demo-board.js";
import { BREAKS, climb, RUNGS } from "./demo-ladder.js";

const TEXTS = ["policies", "schema", "trust", "entities", "request"];
const STATES = { held: ["holds", "good"], failed: ["fails", "bad"], below: ["not reached", ""] };

// What the page knows: the samples, the sandbox's key, what was answered last, and how it is broken now.
const known = { sets: [], vkey: null, otherKey: null, evidence: null, broken: null };

start(async () => {
  board().forEach((tile) => byId("conditions").append(tile));
  const offer = await offered();
  if (offer === null) return;
  Object.assign(known, { sets: offer.samples, vkey: offer.vkey });
  byId("origin").textContent = offer.origin;
  known.otherKey = (await getJson("/v1/log")).vkey;
  const { hashes, signatures } = await engines();
  byId("engine").textContent = `SHA-256 by ${hashes}, Ed25519 by ${signatures}`;
  choose(...(new URL(location.href).searchParams.get("sample") ?? "").split("/"));
  byId("ask").hidden = false;
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    decide();
  });
  byId("ask").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) decide();
  });
  TEXTS.forEach((name) => byId(name).addEventListener("input", filled));
  byId("verify").addEventListener("click", () => check(null));
  put(byId("breaks"), BREAKS.map(([name, label]) => el("button", { type: "button", "aria-pressed": "false", data: { break: name }, on: { click: () => check(known.broken === name ? null : name) } }, label)));
});

// The samples, or null where the sandbox is off.
async function offered() {
  try {
    return await getJson("/v1/sandbox/samples");
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== "sandbox_off") throw error;
    byId("off").hidden = false;
    return null;
  }
}

// Shows a sample; the first where there is none of that name.
function choose(setId, requestId) {
  const set = known.sets.find(({ id }) => id === setId) ?? known.sets[0];
  const request = set.requests.find(({ id }) => id === requestId) ?? set.requests[0];
  choices("sets", known.sets, set, (other) => choose(other.id));
  choices("requests", set.requests, request, (other) => choose(set.id, other.id));
  byId("says").textContent = set.says;
  for (const name of TEXTS) byId(name).value = (name === "request" ? request.request : set[name]) ?? "";
  byId("more-trust").open = set.trust !== null;
  filled();
  put(byId("findings"));
  const url = new URL(location.href);
  url.searchParams.set("sample", `${set.id}/${request.id}`);
  history.replaceState(null, "", url);
}

function choices(place, all, chosen, choose) {
  const focused = document.activeElement?.name === place;
  put(byId(place), all.map((one) => el("label", { class: "choice" },
    el("input", { type: "radio", name: place, value: one.id, checked: one === chosen, on: { change: () => choose(one) } }), el("span", {}, one.title))));
  if (focused) byId(place).querySelector("input:checked").focus();
}

// Says of folded texts whether there is something in them.
function filled() {
  for (const node of document.querySelectorAll("[data-filled]")) {
    const lines = byId(node.dataset.filled).value.trim().split("\n").filter((line) => line !== "").length;
    node.textContent = lines === 0 ? "none" : `${lines} lines`;
  }
}

async function decide() {
  const button = byId("decide");
  if (button.disabled) return;
  button.disabled = true;
  trouble();
  put(byId("findings"));
  try {
    const texts = Object.fromEntries(TEXTS.map((name) => [name, byId(name).value]));
    const begun = performance.now();
    const body = await getBytes("/v1/sandbox/decisions", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(texts) });
    decided(JSON.parse(new TextDecoder().decode(body)), texts.policies ?? "", performance.now() - begun);
  } catch (error) {
    refused(error);
  } finally {
    button.disabled = false;
  }
}

function decided(said, policies, ms) {
  const { answer } = said;
  put(byId("outcome"), said.vkey !== known.vkey && known.vkey !== null && anew(), outcome(answer, ms));
  known.vkey = said.vkey;
  put(byId("conditions"), board(answer.conditions));
  put(byId("facts"), facts(said, policies));
  known.evidence = { receipt: answer.receipt, request: unb64(said.request), salt: unb64(answer.salt), vkey: said.vkey, now: 0 };
  known.allowed = answer.decision;
  byId("receipt").textContent = answer.receipt;
  byId("command").textContent = `interlock verify demo.tlog-proof --vkey '${said.vkey}'`;
  put(byId("save"), saveLink("Save the receipt", "demo.tlog-proof", "text/plain", () => toUtf8(answer.receipt)));
  put(byId("ladder"), RUNGS.map(([name, title, proves]) => rung({ name, title, proves, state: null, facts: [] })));
  put(byId("verdict"));
  byId("breaking").hidden = true;
  byId("board").hidden = byId("evidence").hidden = false;
  byId("outcome").focus({ preventScroll: true });
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  byId("board").scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
  say(answer.decision ? "Allowed" : `Denied: ${answer.reasons.join(", ")}`);
}

const anew = () => el("p", { class: "hint" }, "The sandbox has begun a new log since this page was loaded, under a new key.");

// What is wrong with the rules stands beside them, each with its place.
function refused(error) {
  if (error instanceof Problem && error.body?.findings) {
    const place = ({ line, column }) => (line === null ? null : el("button", { type: "button", class: "place", on: { click: () => jump(line, column) } }, `${line}:${column}`));
    put(byId("findings"), el("div", { class: "notice bad" }, el("strong", {}, "The rules do not hold"),
      el("ul", {}, error.body.findings.map((finding) => el("li", {}, isPolicy(finding) && place(finding), " ", el("span", {}, `${finding.part}: ${finding.message} `), el("code", {}, finding.code))))));
    return;
  }
  const wait = error instanceof Problem && error.status === 429 ? " Wait a few seconds." : "";
  if (!(error instanceof Problem)) throw error;
  put(byId("findings"), el("div", { class: "notice bad" }, el("strong", {}, "Nothing was decided"), el("p", {}, `${error.message}${wait} `, el("code", {}, error.code))));
}

const isPolicy = ({ part }) => part === "policies" || part.startsWith("policy ");

// Puts the cursor at a place in the policies.
function jump(line, column) {
  const area = byId("policies");
  const lines = area.value.split("\n");
  // Columns count characters, a text area UTF-16.
  const into = [...(lines[line - 1] ?? "")].slice(0, column - 1).join("").length;
  const at = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0) + into;
  area.focus();
  area.setSelectionRange(at, Math.max(at + 1, lines.slice(0, line).join("\n").length));
}

// Climbs the ladder with the evidence as it came, or as it was broken.
async function check(name) {
  known.broken = name;
  const begun = performance.now();
  const untouched = { ...known.evidence, now: Date.now() };
  const broken = BREAKS.find(([known]) => known === name);
  const [evidence, done] = broken === undefined ? [untouched, null] : await broken[2](untouched, known);
  const climbed = await climb(evidence);
  const ms = performance.now() - begun;
  put(byId("ladder"), climbed.rungs.map(rung));
  put(byId("verdict"), verdict(climbed, done, ms));
  byId("receipt").textContent = evidence.receipt;
  byId("breaking").hidden = false;
  byId("broken").textContent = done ?? (known.allowed ? "Each button changes one thing and verifies again. Press it once more to put it back." : "A denial gives nothing to replay or to outlive: choose a request that is allowed for the last two.");
  for (const button of byId("breaks").children) {
    button.setAttribute("aria-pressed", String(button.dataset.break === name));
    button.disabled = BREAKS.find(([known]) => known === button.dataset.break)[3] && !known.allowed;
  }
}

function verdict(climbed, done, ms) {
  const [colour, title, words] = worded(climbed, done !== null);
  say(`${title}. ${words}`);
  const failed = climbed.rungs.find(({ state }) => state === "failed");
  return el("div", { class: `notice ${colour}`, data: { verdict: failed?.code ?? "verified" } }, el("strong", {}, title), el("p", {}, `${words} Checked in ${ms.toFixed(1)} ms.`),
    el("details", {}, el("summary", {}, "What was not checked"), el("ul", {}, climbed.notChecked.map((what) => el("li", {}, what)))));
}

// [colour, title, words] of a climb; a denial that is genuine is no failure.
function worded({ rungs, verified }, broken) {
  const failed = rungs.find(({ state }) => state === "failed");
  if (failed === undefined) return ["good", "Verified, and an executor may act", "Every step holds."];
  const step = `It breaks at step ${rungs.indexOf(failed) + 1}: ${failed.code}.`;
  if (!verified) return ["bad", "Not verified", step];
  if (broken) return ["bad", "The evidence is genuine, and an executor refuses", step];
  if (failed.name === "allowed") return ["good", "Verified: a genuine denial", "The evidence holds, and what it proves is that nothing may run."];
  if (failed.name === "in-time") return ["open", "Verified, but the permit has run out", "Evidence holds for ever, the right to act does not. Decide again."];
  return ["bad", "An executor refuses", step];
}

function rung({ name, title, proves, state, code, reason, facts, way }) {
  const [word, colour] = STATES[state] ?? ["not asked yet", ""];
  const reached = state === "held" || state === "failed";
  return el("li", { class: `rung ${state ?? ""}`.trim(), data: { rung: name, state: state ?? "" } },
    el("div", { class: "rung-head" }, el("h3", {}, title), tag(word, colour), code !== undefined && el("code", {}, code)),
    el("p", { class: state === "failed" ? "reason" : "quiet" }, state === "failed" ? sentence(reason) : proves),
    reached && facts.length > 0 && el("dl", { class: "compare" }, facts.map(([what, value]) => el("div", {}, el("dt", {}, what), el("dd", {}, el("code", {}, value))))),
    reached && way !== undefined && el("details", { open: !way.good && way.steps.length <= 6 }, el("summary", {}, "The way to the root, drawn"),
      drawing(way, way.leaf, way.good)));
}

const sentence = (text) => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;
