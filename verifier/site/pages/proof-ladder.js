// The ladder of the proof viewer: each rung with its verdict, what was found, what it proves and what it does not.

import { BELOW, FAILED, HELD, OPEN, RUNGS } from "../ladder.js";
import { b64 } from "../text.js";
import { SAVED } from "../shell/api.js";
import { copyButton } from "../shell/copy.js";
import { el, tag } from "../shell/dom.js";
import { hash, leafLink } from "../shell/links.js";
import { drawing, equations } from "../shell/tree-view.js";
import { bytes } from "../shell/words.js";

const STATES = {
  [HELD]: ["holds", "good"],
  [FAILED]: ["fails", "bad"],
  [OPEN]: ["not checked", "open"],
  [BELOW]: ["not reached", ""],
};

// Why a rung was not checked, in words.
const WHY = {
  pin: "You have pinned no head of this log yet. Pin the one below, and a later visit holds the log against it.",
  no_proof: "No consistency proof between your head and this one is at hand. Drop what /v1/proofs/consistency answers for the two sizes.",
  other_log: "The head that you kept is of another log.",
  no_request: "Only decisions have a request; this record is of another kind.",
  not_given: "Request and detail are not at hand. Drop what /v1/requests/INDEX answers, if the realm is public.",
  committed: "The realm is committed: request and detail are shown only to its readers. The record still commits to them.",
  erased: "Request or detail were erased, by a record of this log: not recomputable.",
  no_head: "The head cannot be read: see the next rung.",
};

// The list items of all rungs. `actions`: {consistent: nodes, …} that a rung ends with.
export function rungs(climb, actions = {}) {
  return climb.rungs.map((rung) => {
    const { title, proves, not } = RUNGS[rung.id];
    const [word, colour] = STATES[rung.state];
    return el(
      "li",
      { class: `rung ${rung.state}`, id: `rung-${rung.id}` },
      el("div", { class: "rung-head" }, el("h3", {}, title), tag(word, colour)),
      found(rung, climb),
      rung.state !== BELOW && el(
        "div",
        { class: "means" },
        el("p", {}, el("strong", {}, rung.state === HELD ? "Proves" : "Would prove"), " ", proves),
        el("p", {}, el("strong", {}, "Does not prove"), " ", not),
      ),
      rung.state !== BELOW && actions[rung.id],
    );
  });
}

function found(rung, climb) {
  if (rung.state === BELOW) return el("p", { class: "quiet" }, "A rung before it failed.");
  const reason = rung.state === FAILED && el("p", { class: "reason bad" }, rung.reason, " · ", el("code", {}, rung.code));
  const why = rung.state === OPEN && el("p", {}, WHY[rung.why] ?? rung.reason ?? null);
  return [reason, why, (FOUND[rung.id] ?? (() => null))(rung, climb)];
}

const REPLAY =
  "Replay folds the log from its first record and asks the policies of each epoch again, with plain Cedar: the same record and detail, " +
  "byte for byte, or a difference with its index. It takes as given what only the operator can know: that a caller's key was valid, and " +
  "the clock.";

const code = (words) => el("code", {}, words);

const FOUND = {
  decoded: (rung, { record, bytes }) => record && el("p", {}, `${bytes.length} bytes, one ${record.kind} record, version 1.`),
  leaf: (rung) => rung.leaf && el("p", { class: "equation" }, el("code", {}, "SHA-256(0x00 ‖ record) = "), leafLink(rung.leaf)),
  included: (rung, climb) => climb.inclusion && inclusion(climb.inclusion, climb),
  signed: (rung, { head }) => head && [
    el(
      "p",
      {},
      [`${rung.key === undefined ? "Claimed" : "Signed"}: a tree of ${head.size} entries of `, code(head.origin), ", root ", hash(head.root)],
      rung.key && [", by key ", code(rung.key.name)],
    ),
    el("details", {}, el("summary", {}, "The signed head"), el("pre", { tabindex: 0, "aria-label": "The signed head" }, noteText(head))),
  ],
  consistent: (rung) => rung.kept && rung.state === HELD && growth(rung),
  witnessed: ({ others = [] }) => el("p", {}, others.length === 0
    ? "The head carries the log's own signature and no other."
    : `The head carries lines of ${others.join(", ")}, whose keys this page does not know.`),
  recomputable: (rung) => rung.request && [
    el("p", {}, code("SHA-256(salt ‖ request)"), " and ", code("SHA-256(salt ‖ detail)"), " are what the record states."),
    el("details", {}, el("summary", {}, "The request, as it was decided"), bytes(rung.request.bytes, "The request")),
    el(
      "details",
      {},
      el("summary", {}, "Computing the verdict again: replay"),
      el("p", {}, REPLAY),
      command(`interlock replay ${SAVED ? "URL" : location.origin} --vkey KEY --governors FILE`, "The command of replay"),
    ),
  ],
};

const noteText = (head) => `${head.origin}\n${head.size}\n${b64(head.root)}\n`;

function inclusion(step, { leaf, head }) {
  const good = b64(step.root) === b64(head.root);
  const count = step.steps.length;
  const says = el("p", {}, `Entry ${step.index} of ${step.size}, ${count} step${count === 1 ? "" : "s"} to the root. `,
    good ? "The root is the head's." : ["They lead to ", hash(step.root), "; the head states ", hash(head.root), "."]);
  return [says, el("div", { class: "tree-and-sums" }, drawing(step, leaf, good), equations(step, leaf))];
}

function growth({ kept, from, to, proof, steps }) {
  const words = from === to
    ? `You pinned a head of the same size, ${from}, with the same root.`
    : `You pinned a head of size ${kept.size}. A proof of ${proof.length} hashes, ${steps.length} steps, leads from size ${from} to ${to}.`;
  return [
    el("p", {}, words),
    proof.length > 0 && el(
      "details",
      {},
      el("summary", {}, "The proof's hashes"),
      el("ol", {}, proof.map((one) => el("li", {}, hash(one, { whole: true })))),
    ),
  ];
}

// A command that does the same without this page.
export function command(words, what) {
  return el("div", { class: "command" }, el("pre", { tabindex: 0, "aria-label": what }, words), copyButton(words, what));
}
