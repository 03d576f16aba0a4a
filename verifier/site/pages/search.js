// What is looked for, in the page's address and out of it: the same address shows the same thing to everybody.
//
// Pure: no document, no network.

// The filters of /v1/decisions, with the names that people read.
export const FILTERS = {
  outcome: "Outcome", condition: "Condition that did not pass", reason: "Reason", subject: "Subject", action: "Action", resource: "Resource",
  policy: "Policy", realm: "Realm", commitment: "Commitment", q: "Text", from: "From", to: "Before", in_epoch: "Decided under epoch",
};

export const CONDITIONS = [
  "policy", "identity", "trust", "runtime", "scopes", "operational", "environment", "attestation", "permissions",
];

// {view: "decisions" | "governance", epoch, before, filters: {…}} from a query.
export function read(query) {
  const given = new URLSearchParams(query);
  const filters = Object.fromEntries(Object.keys(FILTERS).map((name) => [name, given.get(name) ?? ""]).filter(([, value]) => value !== ""));
  const epoch = given.get("epoch");
  const view = epoch !== null || given.get("view") === "governance" ? "governance" : "decisions";
  return { view, epoch, before: given.get("before"), filters };
}

// The query of the page that shows these filters; without any, nothing.
export function write(filters, before = null) {
  const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value !== "" && value !== null && value !== undefined));
  if (before !== null) query.set("before", before);
  const text = query.toString();
  return text === "" ? "/console" : `/console?${text}`;
}

// The same for the API.
export function ask(filters, more = {}) {
  const { in_epoch: epoch, ...rest } = filters;
  const query = new URLSearchParams(rest);
  if (epoch !== undefined) query.set("epoch", epoch);
  for (const [name, value] of Object.entries(more)) if (value !== null) query.set(name, value);
  return `/v1/decisions?${query}`;
}

// What a reader may have meant by a text: {id} names one entry; {hash} is a leaf's hash or a commitment, as hex; {filters} are to be looked for.
export function understand(text) {
  const said = text.trim();
  if (said === "") return { filters: {} };
  if (/^\d{1,19}$/.test(said) && said === String(BigInt(said))) return { id: said };
  if (/^[0-9a-f]{32}$/.test(said)) return { id: said };
  const hash = hexOfHash(said);
  if (hash !== null) return { hash };
  const named = /^(outcome|condition|reason|subject|action|resource|policy|realm|audience):\s*(.+)$/.exec(said);
  if (named !== null && named[1] !== "audience") return { filters: { [named[1]]: named[2] } };
  if (said === "allow" || said === "deny") return { filters: { outcome: said } };
  return { filters: { q: named === null ? said : named[2] } };
}

// 32 bytes as lower-case hex, from hex or from base64 of either alphabet; null for anything else.
function hexOfHash(text) {
  if (/^[0-9a-f]{64}$/.test(text)) return text;
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(text)) return null;
  const standard = text.replaceAll("-", "+").replaceAll("_", "/").replace(/=$/, "");
  const bytes = Uint8Array.from(atob(`${standard}=`), (char) => char.charCodeAt(0));
  return bytes.length === 32 ? [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("") : null;
}
