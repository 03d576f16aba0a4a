// The page `/proof`: gathers the evidence (by link, by id, from files, from the page itself if it was saved with some), has it checked by
// `ladder.js`, and shows what that says.
//
// Guarantees: everything that is shown as held was computed here. What the server answers is evidence like that of a file; only the key is
// taken from it where the reader names none, and the page says so.

import { parseCheckpoint } from "../checkpoint.js";
import { engines } from "../engines.js";
import { formOf, partsFromJson, readFile } from "../evidence.js";
import { Fault } from "../fault.js";
import { climb } from "../ladder.js";
import { parseKey, parseNote } from "../note.js";
import { decodeRecord } from "../record.js";
import { b64, toUtf8, unb64, unb64Hash } from "../text.js";
import { Problem, SAVED, getBytes, getJson } from "../shell/api.js";
import { say } from "../shell/copy.js";
import { byId, el } from "../shell/dom.js";
import { start, trouble } from "../shell/page.js";
import { pinned } from "../shell/pins.js";
import { show } from "./proof-view.js";

// Files of one drop: a receipt, its record, a head, a proof, a request, a key, and as many again.
const MOST_FILES = 12;
const PARAMETERS = { permit: /^[0-9a-f]{32}$/, index: /^(0|[1-9][0-9]{0,18})$/, leaf: /^([0-9a-f]{64}|[A-Za-z0-9_-]{43}=?)$/ };

// What is at hand. `key`: {text, source} that is believed; `log`: what the server says of itself.
const NOTHING = { bytes: null, leaves: [], kept: null, growth: null, parts: null };
const state = { ...NOTHING, key: null, log: null };

// By link

async function byLink() {
  const given = [...new URLSearchParams(location.search)];
  if (given.length === 0) return;
  const [[name, value]] = given;
  if (given.length > 1 || !Object.hasOwn(PARAMETERS, name)) {
    throw new Problem("unknown_parameter", "This page knows one parameter, which is permit, index or leaf.");
  }
  if (!PARAMETERS[name].test(value)) throw new Problem("malformed_parameter", `This is no ${name} of a log.`);
  byId("id").value = value;
  await ask(value);
}

async function ask(id) {
  Object.assign(state, NOTHING);
  state.bytes = await getBytes(`/v1/receipts/${id}`, { accept: "text/plain" });
  await check();
}

// Typed: what it is shows by its length.
function typed(event) {
  event.preventDefault();
  const id = byId("id").value.trim().toLowerCase();
  const raw = byId("id").value.trim();
  const [name] = Object.entries(PARAMETERS).find(([, shape]) => shape.test(id)) ?? (PARAMETERS.leaf.test(raw) ? ["leaf"] : [null]);
  if (name === null) return trouble(new Problem("malformed_id", "An index has at most 19 digits, a permit 32 hex digits, a leaf hash 64."));
  const value = name === "leaf" && !PARAMETERS.leaf.test(id) ? raw : id;
  if (!SAVED) history.pushState(null, "", `/proof?${name}=${value}`);
  return attempt(() => ask(value));
}

// By files

async function files(list) {
  const read = [];
  if (list.length > MOST_FILES) throw new Problem("too_many", `At most ${MOST_FILES} files at once.`);
  for (const file of list) {
    try {
      read.push(await readFile(new Uint8Array(await file.arrayBuffer())));
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      throw new Problem("unreadable_file", `${file.name}: ${error.message}`);
    }
  }
  await take(read);
}

async function take(read) {
  const of = (kind) => read.filter((one) => one.kind === kind);
  const [receipt] = [...of("receipt"), ...of("answer")];
  const heads = of("head");
  if (receipt !== undefined) Object.assign(state, NOTHING, { bytes: receipt.bytes });
  // A head alone is what is checked; beside a receipt it is the one that was kept.
  if (state.bytes === null && heads.length > 0) Object.assign(state, NOTHING, { bytes: toUtf8(heads.shift().note) });
  if (heads.length > 0) state.kept = heads[0].note;
  if (of("record").length > 0) state.leaves = of("record").map(({ bytes }) => bytes);
  if (of("parts").length > 0) state.parts = of("parts")[0].parts;
  if (of("growth").length > 0) state.growth = of("growth")[0];
  if (of("key").length > 0) state.key = { text: of("key")[0].text, source: "It comes from a file of yours." };
  if (state.bytes === null) {
    showKey();
    throw new Problem("no_receipt", "This belongs beside a receipt: drop the receipt too.");
  }
  if (!SAVED && receipt !== undefined) history.pushState(null, "", "/proof");
  await check();
}

// A page that was saved with its evidence carries it as JSON: {receipt, vkey, kept, growth, parts, leaves}, bytes as base64.
async function embedded() {
  const element = document.getElementById("evidence");
  if (element === null) return;
  const { receipt, vkey, kept, growth, parts, leaves } = JSON.parse(element.textContent);
  const part = ({ salt, bytes }) => ({ salt: unb64(salt), bytes: unb64(bytes) });
  Object.assign(state, NOTHING, {
    bytes: unb64(receipt),
    leaves: leaves.map(unb64),
    kept,
    growth: growth && { from: BigInt(growth.from), to: BigInt(growth.to), proof: growth.proof.map(unb64Hash) },
    parts: parts && { request: part(parts.request), detail: part(parts.detail) },
    key: { text: vkey, source: "It was saved with this page, by whoever saved it." },
  });
  await check();
}

function evidenceJson() {
  const part = ({ salt, bytes }) => ({ salt: b64(salt), bytes: b64(bytes) });
  const { bytes, leaves, kept, growth, parts, key } = state;
  return JSON.stringify({
    receipt: b64(bytes),
    vkey: key.text,
    kept,
    growth: growth && { from: String(growth.from), to: String(growth.to), proof: growth.proof.map(b64) },
    parts: parts?.request === undefined ? null : { request: part(parts.request), detail: part(parts.detail) },
    leaves: leaves.map(b64),
  });
}

// Checking

async function check() {
  trouble();
  const form = await readable();
  const head = form?.checkpoint === undefined ? null : headOf(form.checkpoint);
  await gather(form, head);
  showKey();
  const begun = performance.now();
  const keys = state.key === null ? [] : [{ key: await parseKey(state.key.text) }];
  const growth = fitting(head);
  const evidence = { bytes: state.bytes, leaves: state.leaves, kept: state.kept, growth, parts: state.parts };
  const found = await climb(evidence, keys);
  const took = performance.now() - begun;
  byId("intro").hidden = true;
  byId("result").hidden = false;
  byId("drop").classList.add("compact");
  const context = { state, head, keys, evidence, engine: await engines(), took, again: () => attempt(check), evidenceJson };
  show(found, context);
  say(found.verified ? "Verified" : `Not verified: ${found.verdict.verdict.reason ?? found.failed}`);
}

async function readable() {
  try {
    return await formOf(state.bytes);
  } catch (error) {
    if (error instanceof Fault) return null;
    throw error;
  }
}

function headOf(note) {
  try {
    return parseCheckpoint(parseNote(note).text);
  } catch (error) {
    if (error instanceof Fault) return null;
    throw error;
  }
}

// What the reader's own pins and the server add: the key, the pinned head, the proof between both heads, record and request.
async function gather(form, head) {
  const origin = head?.origin ?? state.log?.origin;
  const pin = origin === undefined ? null : pinned(origin);
  if (state.kept === null && pin !== null) state.kept = pin.checkpoint;
  believe(origin);
  if (SAVED || form === null) return;
  state.log ??= await getJson("/v1/log");
  const ours = head === null || head.origin === state.log.origin;
  if (ours) believe(state.log.origin);
  if (!ours) return;
  if (form.form === "inclusion" && state.leaves.length === 0) {
    state.leaves = [await getBytes(`/v1/entries/${form.index}`, { accept: "application/cbor" })];
  }
  if (form.form === "leaf" && state.parts === null && isDecision(state.leaves[0] ?? form.extra)) {
    state.parts = await getBytes(`/v1/requests/${form.index}`, { accept: "application/json" }).then(partsFromJson, given);
  }
  const kept = state.kept === null ? null : headOf(state.kept);
  if (head !== null && kept !== null && kept.origin === head.origin && fitting(head) === null) {
    const [from, to] = kept.size < head.size ? [kept.size, head.size] : [head.size, kept.size];
    if (from > 0n && from < to) {
      const { proof } = await getJson(`/v1/proofs/consistency?from=${from}&to=${to}`);
      state.growth = { from, to, proof: proof.map(unb64Hash) };
    }
  }
}

// The key of this origin, where the reader named none: the one that was pinned before the one that the server shows.
function believe(origin) {
  if (origin === undefined || (state.key !== null && !state.key.automatic)) return;
  const pin = pinned(origin);
  if (pin !== null) {
    state.key = { text: pin.vkey, source: "You pinned it on an earlier visit.", automatic: true };
  } else if (state.log?.origin === origin) {
    state.key = { text: state.log.vkey, source: "It comes from this server, so from the operator who is to be checked.", automatic: true };
  }
}

// The proof at hand, if it is one between the two heads.
function fitting(head) {
  const kept = state.kept === null ? null : headOf(state.kept);
  if (state.growth === null || head === null || kept === null) return null;
  const { from, to, proof } = state.growth;
  const [small, large] = kept.size < head.size ? [kept.size, head.size] : [head.size, kept.size];
  return from === small && to === large ? proof : null;
}

function isDecision(bytes) {
  try {
    return bytes !== undefined && decodeRecord(bytes).kind === "decision";
  } catch (error) {
    if (error instanceof Fault) return false;
    throw error;
  }
}

// Request and detail that are not to be had: why.
function given(error) {
  if (error instanceof Problem) return { code: error.code, reason: error.message };
  throw error;
}

function showKey() {
  byId("vkey").value = state.key?.text ?? "";
  byId("key-name").textContent = state.key === null ? "none yet" : state.key.text.split("+").slice(0, 2).join("+");
  const none = "Without a key nothing is verified: drop it, or paste it here.";
  byId("key-source").textContent = state.key === null ? none : `${state.key.source} Another one may be put in its place.`;
}

// Beginning

async function attempt(run) {
  try {
    trouble();
    await run();
  } catch (error) {
    trouble(error);
    if (!(error instanceof Problem) && !(error instanceof Fault)) throw error;
  }
}

function listen() {
  byId("ask").addEventListener("submit", typed);
  byId("files").addEventListener("change", (event) => attempt(() => files([...event.target.files])));
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(async () => {
      const text = byId("vkey").value.trim();
      await parseKey(text);
      state.key = { text, source: "You put it in." };
      showKey();
      if (state.bytes !== null) await check();
    });
  });
  // Wherever on the page a file is dropped.
  const drop = byId("drop");
  for (const type of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(type, (event) => {
      if (!event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      drop.classList.toggle("over", type === "dragover");
      if (type === "drop") attempt(() => files([...event.dataTransfer.files]));
    });
  }
  addEventListener("popstate", () => location.reload());
}

async function examples() {
  if (SAVED) {
    for (const node of document.querySelectorAll(".only-served, #ask")) node.hidden = true;
    byId("key-details").open = true;
    byId("examples").textContent = "Drop a receipt and the log's key, and beside them the request or a head that you kept.";
    return;
  }
  state.log = await getJson("/v1/log");
  believe(state.log.origin);
  showKey();
  if (state.log.size === 0) return;
  const newest = state.log.size - 1;
  byId("examples").prepend(el("a", { href: `/proof?index=${newest}` }, `Look at the newest entry, ${newest}`), ". ");
}

start(async () => {
  listen();
  showKey();
  await attempt(async () => {
    await examples();
    await embedded();
    if (!SAVED) await byLink();
  });
});
