// The other half of `/console`: what is in force, every act that made it so, and the epochs with their policies as text.
//
// Guarantees: of an archive, whose acts nobody has checked, it tells the acts and says that it does not know what is in force.

import { getJson, Problem } from "../shell/api.js";
import { byId, el, pairs, put, tag } from "../shell/dom.js";
import { hash, indexLink } from "../shell/links.js";
import { time } from "../shell/time.js";
import { unb64Hash } from "../text.js";
import { filterLink } from "./decision.js";
import { patient } from "./export.js";

const acts = async (before) => patient(() => getJson(`/v1/governance?limit=64${before === null ? "" : `&before=${before}`}`));

export async function showGovernance(epoch, current) {
  const [told, epochs] = [await acts(null), await getJson("/v1/epochs")];
  if (!current()) return;
  inForce(told);
  put(byId("acts"), actsCard(told));
  put(byId("epochs"), epochsCard(epochs));
  const wanted = epoch ?? (epochs.epochs.length > 0 ? "current" : null);
  put(byId("epoch"));
  if (wanted === null) return;
  try {
    const content = await getJson(`/v1/epochs/${encodeURIComponent(wanted)}`);
    if (current()) put(byId("epoch"), epochCard(content, epoch === null));
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 404) throw error;
    put(byId("epoch"), el("p", { class: "notice bad" }, `There is no epoch ${wanted}.`));
  }
}

function inForce({ in_force: now, governance, acts }) {
  if (now === null) {
    put(byId("in-force"), el("p", { class: "notice open" }, el("strong", {}, "An archive. "), "What is in force is known to a running service only; here are the acts, as they stand in the log."));
    return;
  }
  if (governance === 0) {
    put(byId("in-force"), el("p", { class: "notice open" }, el("strong", {}, "Nothing is in force yet. "), "Until an administrator publishes the first epoch, nothing is allowed. Its policies will stand here as text."));
    return;
  }
  const figure = (name, value) => el("div", {}, el("dt", {}, name), el("dd", { class: "large" }, value));
  const thrown = (target) => {
    const act = acts.find((one) => one.act === "switch" && one.about === target);
    return el("li", {}, tag("halted", "bad"), " ", el("b", {}, target), act ? [": ", act.reason, " · ", time(act.recorded_at), " · entry ", indexLink(act.index)] : null);
  };
  put(
    byId("in-force"),
    el(
      "section",
      { class: "card", "aria-labelledby": "in-force-name" },
      el("h2", { id: "in-force-name" }, "In force"),
      el("dl", { class: "figures" }, figure("Epoch", now.epoch === 0 ? "none" : now.epoch), figure("Governance version", governance), figure("Switches thrown", now.halted.length), now.candidate ? figure("Tried in shadow", `epoch ${now.candidate}`) : null),
      now.frozen ? el("p", { class: "notice open" }, "The log is frozen: nothing is ever recorded in it again.") : null,
      now.by_plain ? el("p", { class: "notice bad" }, "What compiled policies decided was found to differ: plain Cedar decides until the next epoch.") : null,
      now.halted.length === 0 ? el("p", { class: "quiet" }, "No kill switch is thrown.") : el("ul", { class: "plain" }, now.halted.map(thrown)),
    ),
  );
}

const COLOURS = { switch: { halt: "bad", run: "good" }, revocation: "bad", freeze: "open", "system-switch": "open", epoch: "good", "shadow-epoch": "" };

function actItem(act) {
  const colour = act.act === "switch" ? COLOURS.switch[act.power] : COLOURS[act.act];
  const word = act.act === "switch" ? (act.power === "halt" ? "switch: halt" : "switch: run") : act.act.replace("-", " ");
  const about = act.act.endsWith("epoch") ? el("a", { href: `/console?epoch=${act.about}` }, `epoch ${act.about}`) : aboutLink(act.about);
  return el(
    "li",
    {},
    el("p", {}, tag(word, colour), " ", about, act.reason ? el("span", {}, `: ${act.reason}`) : null),
    el("p", { class: "hint" }, time(act.recorded_at), ` · version ${act.governance} · entry `, indexLink(act.index), " · ", el("a", { href: act.proof }, "receipt")),
    act.note ? el("details", {}, el("summary", {}, "The signed act"), el("pre", { tabindex: 0, "aria-label": `Act ${act.governance}` }, act.note)) : null,
  );
}

// Where an act names a permit, subject, action, policy or realm: the decisions that have it.
function aboutLink(about) {
  const [kind, rest] = [about?.split(" ")[0], about?.slice(about.indexOf(" ") + 1)];
  if (kind === "permit") return el("a", { href: `/proof?permit=${rest}` }, about);
  if (["subject", "action", "policy", "realm"].includes(kind)) return filterLink(kind, rest, about);
  return el("b", {}, about ?? "");
}

function actsCard(told) {
  const list = el("ol", { class: "acts" }, told.acts.map(actItem));
  const more = el("button", { type: "button" }, "Older acts");
  let next = told.next;
  more.hidden = next === null;
  more.addEventListener("click", async () => {
    const page = await acts(next);
    list.append(...page.acts.map(actItem));
    next = page.next;
    more.hidden = next === null;
  });
  const none = told.acts.length === 0 ? el("p", { class: "quiet" }, "No act of governance stands in the log yet.") : null;
  return el(
    "section",
    { class: "card", "aria-labelledby": "acts-name" },
    el("h2", { id: "acts-name" }, "Acts of governance"),
    el("p", { class: "hint" }, "Epochs, kill switches, revocations and the freeze, newest first. Each is a note that an administrator signed, and stands in the log as it was signed."),
    none,
    list,
    more,
  );
}

function epochsCard({ epochs, next }) {
  if (epochs.length === 0) return null;
  const row = (epoch) =>
    el("tr", {}, el("th", { scope: "row" }, el("a", { href: `/console?epoch=${epoch.epoch}` }, `epoch ${epoch.epoch}`)),
      el("td", {}, epoch.mode === "live" ? tag("live", "good") : tag("shadow", "")), el("td", {}, time(epoch.recorded_at)),
      el("td", { class: "number" }, indexLink(epoch.index)), el("td", {}, hash(unb64Hash(epoch.content))));
  return el(
    "section",
    { class: "card", "aria-labelledby": "epochs-name" },
    el("h2", { id: "epochs-name" }, "All epochs"),
    el("div", { class: "table", tabindex: 0, role: "region", "aria-labelledby": "epochs-name" },
      el("table", {}, el("thead", {}, el("tr", {}, ["Epoch", "Mode", "Published", "Entry", "Content"].map((name) => el("th", { scope: "col", class: name === "Entry" ? "number" : null }, name)))),
        el("tbody", {}, [...epochs].reverse().map(row)))),
    next === undefined ? null : el("p", { class: "hint" }, "There are more: ", el("a", { href: `/v1/epochs?from=${next}` }, `from epoch ${next} on`)),
  );
}

function epochCard(epoch, current) {
  const text = (name, content) => (content === undefined ? null : el("details", {}, el("summary", {}, name), el("pre", { tabindex: 0, "aria-label": name }, content)));
  const policy = ({ id, text: body }) =>
    el("article", { class: "policy" }, el("h3", {}, id), el("pre", { tabindex: 0, "aria-label": `Policy ${id}` }, body),
      el("p", { class: "hint" }, filterLink("policy", id, "Decisions that it determined")));
  return el(
    "section",
    { class: "card", "aria-labelledby": "epoch-name" },
    el("h2", { id: "epoch-name" }, `Epoch ${epoch.epoch}`, " ", current ? tag("in force", "good") : epoch.mode === "shadow" ? tag("shadow", "") : null),
    pairs([
      ["Published", time(epoch.recorded_at)],
      ["Entry", [indexLink(epoch.index), `, ${epoch.parts} part${epoch.parts === 1 ? "" : "s"} from `, indexLink(epoch.first_part)]],
      ["Governance version", epoch.governance],
      ["SHA-256 of its content", hash(unb64Hash(epoch.content), { whole: true })],
      ["Decisions", filterLink("in_epoch", String(epoch.epoch), "all that were decided under it")],
    ]),
    el("h3", {}, `${epoch.policies.length} ${epoch.policies.length === 1 ? "policy" : "policies"}`),
    epoch.policies.map(policy),
    text("Trust: realms, limits, conditions, grants", epoch.trust),
    text("Schema", epoch.schema),
    text("Registered entities", epoch.entities),
    text("The signed act", epoch.note),
    epoch.trust === undefined ? el("p", { class: "hint" }, "It has no trust file: every realm is public, a permit has one use and an API key is enough.") : null,
  );
}
