// The proof of a decision that is shown: its receipt, verified here, and then that what is shown is what was proved.
//
// Guarantees: "verified" only if the head is signed by the key, the leaf is under it, the leaf says what is shown of it, and, where the detail
// is disclosed, it is the one that the leaf commits to and says what is shown of it. Never throws; each decision is asked for once.
// Does not vouch for the key: it came from this server, unless the caller has a better one.

import { decodeDetail } from "../detail.js";
import { Fault } from "../fault.js";
import { readForm } from "../receipt.js";
import { decodeRecord } from "../record.js";
import { sha256 } from "../sha2.js";
import { getBytes, getJson, Problem } from "../shell/api.js";
import { concat, equal, unb64 } from "../text.js";
import { judge } from "../verify.js";

// Receipts that are fetched at once.
const AT_ONCE = 4;

export class Prover {
  #key;
  #known = new Map();
  #waiting = [];
  #running = 0;

  // `key` as parseKey answers it.
  constructor(key) {
    this.#key = key;
  }

  // {verified, why, held}, if it is known already.
  known(permit) {
    return this.#known.get(permit)?.result;
  }

  // The same, when it is known.
  prove(node) {
    const known = this.#known.get(node.permit);
    if (known) return known.promise;
    const entry = { result: undefined };
    entry.promise = new Promise((resolve) => this.#waiting.push({ node, resolve: (result) => resolve((entry.result = result)) }));
    this.#known.set(node.permit, entry);
    this.#next();
    return entry.promise;
  }

  async #next() {
    if (this.#running >= AT_ONCE || this.#waiting.length === 0) return;
    this.#running += 1;
    // The newest wish first: it is what the reader sees now.
    const { node, resolve } = this.#waiting.pop();
    resolve(await proved(node, this.#key));
    this.#running -= 1;
    this.#next();
  }
}

async function proved(node, key) {
  try {
    const bytes = await getBytes(`/v1/receipts/${node.index}`, { accept: "text/plain" });
    const { held, verdict } = await judge(bytes, {}, [{ key }]);
    if (!verdict.verified) return refused(`${verdict.code}: ${verdict.reason}`, held);
    const record = decodeRecord((await readForm(bytes)).extra);
    const other = otherLeaf(node, verdict, record);
    if (other !== null) return refused(`the proved leaf has another ${other} than is shown`, held);
    if (withheld(node)) return { verified: true, why: "leaf proved; its detail is withheld", held };
    const { detail } = await getJson(`/v1/requests/${node.index}`);
    const [salt, part] = [unb64(detail.salt), unb64(detail.bytes)];
    if (!equal(await sha256(concat(salt, part)), record.detail)) return refused("the detail is not the one that the leaf commits to", held);
    const said = decodeDetail(part);
    const differs = Object.keys(SHOWN).find((name) => SHOWN[name](said) !== SHOWN[name](shownAs(node)));
    if (differs !== undefined) return refused(`the committed detail has another ${differs} than is shown`, held);
    return { verified: true, why: "leaf proved, and its detail is the committed one", held };
  } catch (error) {
    if (error instanceof Problem) return { verified: null, why: `${error.code}: ${error.message}`, held: [] };
    if (error instanceof Fault) return refused(error.message, []);
    throw error;
  }
}

const refused = (why, held) => ({ verified: false, why, held });
export const withheld = (node) => ["committed", "erased", "missing"].find((why) => node[why] === true) ?? null;

function otherLeaf(node, verdict, record) {
  const { decision } = verdict;
  if (decision === null) return "kind";
  if (verdict.index !== BigInt(node.index)) return "index";
  if (decision.permit !== node.permit) return "permit";
  if (Date.parse(node.recorded_at) !== Number(record.recorded_at)) return "time";
  const expires = node.expires_at === null ? undefined : BigInt(Date.parse(node.expires_at));
  return record.expires_at === expires ? null : "end";
}

// What is shown of a detail, each in a form that can be compared.
const SHOWN = {
  subject: ({ subject }) => JSON.stringify(subject),
  action: ({ action }) => action,
  resource: ({ resource }) => JSON.stringify(resource),
  parent: ({ parent }) => parent ?? "none",
  scopes: ({ scopes }) => JSON.stringify(scopes ?? []),
  delegates: ({ delegates }) => JSON.stringify(delegates ?? []),
};

// A node as the detail writes it.
function shownAs({ subject, action, resource, parent, scopes, delegates }) {
  return { subject: [subject.type, subject.id], action, resource: [resource.type, resource.id], parent: parent ?? undefined, scopes, delegates };
}
