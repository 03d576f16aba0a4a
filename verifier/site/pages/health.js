// The page `/health`: draws how the service was, and keeps the figures current that the server wrote into it.
//
// Guarantees: it asks for what is new only, every two seconds while somebody looks. Without this module the page says the same, as of when it
// was loaded. Does not check anything: what is shown here is the operator's word.

import { getJson } from "../shell/api.js";
import { byId, el, put, tag } from "../shell/dom.js";
import { every, start, trouble } from "../shell/page.js";
import { span, time } from "../shell/time.js";
import { chart, strip } from "./chart.js";

const EVERY_MS = 2_000;
// Minutes change once a minute.
const DAY_EVERY = 15;
// What is kept here of either course, as the server keeps it.
const KEPT = { second: 600, minute: 1_440 };
// A cell of the strip: ten minutes, so that a day fits a telephone.
const CELL_MS = 600_000;
const DAY_MS = 86_400_000;

const courses = { second: null, minute: null };
let rounds = 0;

const ms = (value) => `${value >= 100 ? Math.round(value) : Number(value.toPrecision(2))} ms`;
const count = (value) => value.toLocaleString("en");
const dash = "–";

const range = () => (new URLSearchParams(location.search).get("range") === "day" ? "day" : "now");

// Adds the samples that are new to those that are kept.
export function joined(before, after, kept) {
  if (before === null) return after;
  const join = (old, fresh, lengths) => {
    if (Array.isArray(fresh) || Array.isArray(old)) {
      const filled = [...(old ?? Array(lengths[0]).fill(0)), ...(fresh ?? Array(lengths[1]).fill(0))];
      return filled.slice(-kept);
    }
    const names = new Set([...Object.keys(old ?? {}), ...Object.keys(fresh ?? {})]);
    return Object.fromEntries([...names].map((name) => [name, join(old?.[name], fresh?.[name], lengths)]));
  };
  const lengths = [before.samples.at.length, after.samples.at.length];
  return { ...after, samples: join(before.samples, after.samples, lengths) };
}

async function course(step) {
  const before = courses[step];
  const after = before?.samples.at.at(-1) ?? 0;
  courses[step] = joined(before, await getJson(`/v1/health/history?step=${step}&after=${after}`), KEPT[step]);
}

async function refresh() {
  const day = range() === "day";
  const health = await getJson("/v1/health");
  if (rounds % DAY_EVERY === 0) await course("minute");
  if (!day || courses.second === null) await course("second");
  rounds += 1;
  figures(health);
  tables(health);
  uptime(health);
  charts(courses[day ? "minute" : "second"], day ? 60_000 : 1_000);
}

function figures({ head, service, frozen, self_audit: audit }) {
  byId("size").textContent = count(head.size);
  byId("age").textContent = span(head.age_ms);
  put(byId("state"), state(service, frozen, audit));
  const minute = service?.last_minute;
  byId("rate").textContent = minute ? rate(minute) : dash;
  byId("p99").textContent = minute?.decision_ms ? ms(minute.decision_ms.p99) : dash;
}

function rate({ allowed, denied }) {
  const a = (allowed + denied) / 60;
  return a >= 10 ? count(Math.round(a)) : String(Number(a.toFixed(2)));
}

function state(service, frozen, audit) {
  if (audit.state === "failed") return [tag("not ready", "bad"), " a self-audit found stored entries that are not what the signed head says"];
  if (frozen) return tag("frozen: complete for ever", "open");
  if (service === null) return tag("archive: read only", "open");
  const alerts = service.alerts.map((alert) => el("p", { class: "open" }, alert));
  if (!service.ready) return [tag("not ready", "bad"), ` ${service.missing ?? ""}`, alerts];
  return [tag("ready", "good"), alerts];
}

function tables({ service, self_audit: audit, version, time: now }) {
  const row = (name, ...cells) => el("tr", {}, el("th", { scope: "row" }, name), cells.map((cell) => el("td", { class: "number" }, cell)));
  const { last_minute: minute = null, total = null } = service ?? {};
  const both = (name, of) => row(name, minute ? count(of(minute)) : dash, total ? count(of(total)) : dash);
  const denied = Object.keys(total?.denied_by ?? {}).map((condition) => both(`– by ${condition}`, (counts) => counts.denied_by[condition] ?? 0));
  put(byId("counts"), both("Allowed", (counts) => counts.allowed), both("Denied", (counts) => counts.denied), denied, both("Turned away (503)", (counts) => counts.shed));
  const of = (name, curve) => row(name, ...(curve ? [curve.p50, curve.p90, curve.p99].map((value) => ms(value)) : [dash, dash, dash]), curve ? count(curve.count) : "0");
  put(
    byId("times"),
    of("A decision, from its last byte to its durable record", minute?.decision_ms),
    of("A commit, from the frame's write to its head", minute?.commit_ms),
    of("fsync of the journal", minute?.fsync_ms.journal),
    of("fsync of the vault", minute?.fsync_ms.vault),
    of("fsync of the memory", minute?.fsync_ms.memory),
  );
  const fact = (name, value) => el("div", {}, el("dt", {}, name), el("dd", {}, value));
  put(
    byId("facts"),
    fact("Canary", canary(service)),
    fact("Queue", service ? `${count(service.waiting)} decisions wait to be recorded` : dash),
    fact("Last self-audit", audited(audit, now)),
    fact("Measured since", service?.since ? time(service.since) : dash),
    fact("Version", version),
    fact("The service's clock", time(now)),
  );
}

// As `authorizer/src/http/self_audit.rs` writes it.
function audited({ state: word, running, last }, now) {
  if (!last && word === "off") return "none: it is switched off; anybody can audit, with interlock audit";
  const next = running ? `; one is under way: ${count(running.entries)} of ${count(running.size)} entries` : "";
  const closed = "nothing is permitted any more";
  if (!last) return word === "failed" ? [tag("failed", "bad"), ` it did not come to an end; ${closed}`, next] : `none yet${next}`;
  const ago = `${span(Math.max(0, Date.parse(now) - Date.parse(last.ended)))} ago`;
  if (word === "failed" && last.result !== "failed") return [tag("failed", "bad"), ` the log could not be read; ${closed}`, next];
  const held = `what the signed head of size ${count(last.size)} says`;
  if (last.result === "passed") return [tag("passed", "good"), ` ${count(last.entries)} entries are ${held}, ${ago}`, next];
  const at = last.first_fault === null ? "it" : `entry ${count(last.first_fault)}`;
  if (last.result === "failed") return [tag("failed", "bad"), ` ${at} is not ${held}; ${closed}`, next];
  return [tag("unreadable", "open"), ` the log could not be read, ${ago}`, next];
}

function canary(service) {
  if (service === null) return dash;
  const age = service.canary_age_ms;
  if (age === null) return [tag("none lately", "bad"), " nothing that must be denied was denied in the last seconds, so the service is not ready"];
  return [tag("denied", "good"), ` a request that must be denied was, ${age < 1_000 ? "within the last second" : `${span(age)} ago`}`];
}

// Whether the service was ready, ten minutes a cell.
function uptime({ service }) {
  const { samples, now } = courses.minute;
  const { at, ready, looks } = samples;
  const seconds = courses.second?.samples;
  byId("strip-card").hidden = service === null;
  const cells = [];
  let [good, all] = [0, 0];
  for (let end = Math.ceil(now / CELL_MS) * CELL_MS, cell = end - DAY_MS + CELL_MS; cell <= end; cell += CELL_MS) {
    let [fine, seen] = [0, 0];
    const add = (time, is, of) => {
      if (time > cell - CELL_MS && time <= cell) [fine, seen] = [fine + is, seen + of];
    };
    at.forEach((time, place) => add(time, ready[place], looks[place]));
    // The minute that is under way stands in the seconds only.
    const last = at.at(-1) ?? 0;
    seconds?.at.forEach((time, place) => time > last && add(time, seconds.ready[place], 1));
    [good, all] = [good + fine, all + seen];
    const words = `${new Date(cell - CELL_MS).toISOString().slice(11, 16)}–${new Date(cell).toISOString().slice(11, 16)} UTC: `;
    const share = seen === 0 ? "not measured" : `ready ${percent(fine, seen)}`;
    cells.push({ colour: seen === 0 ? "none" : fine === seen ? "good" : fine === 0 ? "bad" : "open", title: words + share });
  }
  const words = all === 0 ? "Nothing was measured yet." : `Ready at ${percent(good, all)} of ${count(all)} looks, one a second. The last 24 hours, ten minutes a field; what was before this process started is not known.`;
  put(byId("strip"), strip(`Readiness over the last 24 hours. ${words}`, cells));
  byId("uptime-words").textContent = words;
}

const percent = (part, whole) => (part === whole ? "100 %" : `${Math.min(99.99, (part / whole) * 100).toFixed(2)} %`);

function charts({ samples: s }, step) {
  byId("ranges").hidden = false;
  for (const link of byId("ranges").children) {
    if (link.dataset.range === range()) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  // A page that is being read is not drawn anew under the reader's hand.
  if (byId("charts").querySelector("svg:hover, svg:focus")) return;
  const per = step / 1_000;
  const rate = (values) => values.map((value) => value / per);
  const curves = ({ p50, p90, p99 }) => [
    { name: "half", colour: "one", values: p50 },
    { name: "9 of 10", colour: "two", values: p90 },
    { name: "99 of 100", colour: "three", values: p99 },
  ];
  const grown = s.size.map((size, at) => (at === 0 ? null : Math.max(0, size - s.size[at - 1]) / per));
  const card = (figure) => el("section", { class: "card" }, figure);
  const options = { step };
  put(
    byId("charts"),
    card(chart("Decisions a second", s.at, [{ name: "allowed", colour: "good", values: rate(s.allowed) }, { name: "denied", colour: "bad", values: rate(s.denied) }], { ...options, stacked: true })),
    card(chart("From a request's last byte to its durable record", s.at, curves(s.decision_ms), { ...options, format: ms })),
    card(chart("fsync, 99 of 100 below", s.at, [
      { name: "journal", colour: "one", values: s.journal_ms.p99 },
      { name: "vault", colour: "two", values: s.vault_ms.p99 },
      { name: "memory", colour: "three", values: s.memory_ms.p99 },
    ], { ...options, format: ms })),
    card(chart("From a frame's write to its published head", s.at, curves(s.commit_ms), { ...options, format: ms })),
    card(chart("New entries a second", s.at, [{ name: "entries", colour: "one", values: grown }], options)),
    card(chart("Waiting to be recorded, and turned away", s.at, [
      { name: "waiting at most", colour: "one", values: s.waiting },
      { name: "turned away a second", colour: "bad", values: rate(s.shed) },
    ], options)),
    denials(s, per, options, card),
  );
}

function denials(s, per, options, card) {
  const palette = ["bad", "open", "one", "two", "three", "bad", "open", "one", "two"];
  const series = Object.entries(s.denied_by).map(([name, values], at) => ({ name, colour: palette[at], values: values.map((value) => value / per) }));
  return series.length === 0 ? null : card(chart("Denials a second, by the first condition that did not pass", s.at, series, { ...options, stacked: true }));
}

// Nothing in a module that is imported by a test begins by itself.
if (typeof document !== "undefined") {
  start(async () => {
    for (const link of byId("ranges").children) {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        history.replaceState(null, "", link.getAttribute("href"));
        rounds = 0;
        refresh().catch(trouble);
      });
    }
    await every(EVERY_MS, refresh);
  });
}
