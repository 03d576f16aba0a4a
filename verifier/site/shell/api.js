// Asking the log's own server.
//
// Guarantees: an answer is read up to a limit and waited for up to a time; whatever is no success is thrown as a Problem with the server's
// stable code (RFC 9457) or one of ours: `unreachable`, `timeout`, `too_long`, `not_json`. Nothing that is read here is believed.

// The longest answer is an epoch's content, 4 MiB of policies and more; what is beyond is no answer of the log.
const MAX_BYTES = 64 << 20;
// A receipt takes milliseconds; whoever waits longer is told so.
const PATIENCE_MS = 20_000;

export class Problem extends Error {
  // `body`: the whole document, where the server sent one.
  constructor(code, detail, status = 0, body = null) {
    super(detail);
    this.name = "Problem";
    this.code = code;
    this.status = status;
    this.body = body;
  }
}

// A saved page has no server to ask.
export const SAVED = typeof document !== "undefined" && document.documentElement.hasAttribute("data-saved");

// A JSON document. Numbers beyond 2^53 lose digits here: what is verified is read by `json.js` from bytes.
export async function getJson(path, options) {
  const bytes = await getBytes(path, { accept: "application/json", ...options });
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new Problem("not_json", `${path} is not JSON`);
  }
}

export async function getText(path, options) {
  return new TextDecoder().decode(await getBytes(path, options));
}

// The bytes at a path of this server. Options: accept, most (a limit in bytes), patience (ms), and what `fetch` takes: method, body, signal.
export async function getBytes(path, { accept = "*/*", most = MAX_BYTES, patience = PATIENCE_MS, ...more } = {}) {
  if (SAVED) throw new Problem("unreachable", "a saved page asks nobody");
  const { headers, signal: given, ...rest } = more;
  const late = AbortSignal.timeout(patience);
  const signal = given === undefined ? late : AbortSignal.any([given, late]);
  let answer;
  try {
    answer = await fetch(path, { ...rest, signal, headers: { accept, ...headers }, credentials: "omit", redirect: "error" });
    if (!answer.ok) throw await problemOf(answer, path);
    return await limited(answer, most, path);
  } catch (error) {
    if (error instanceof Problem) throw error;
    if (given?.aborted) throw error;
    if (late.aborted) throw new Problem("timeout", `${path} was not answered within ${patience / 1000} s`);
    throw new Problem("unreachable", `${path} cannot be reached: ${error.message}`);
  }
}

async function limited(answer, most, path) {
  const parts = [];
  let length = 0;
  const reader = answer.body.getReader();
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
    length += value.length;
    if (length > most) {
      await reader.cancel();
      throw new Problem("too_long", `${path} answers with more than ${most} bytes`);
    }
    parts.push(value);
  }
  const bytes = new Uint8Array(length);
  parts.reduce((at, part) => (bytes.set(part, at), at + part.length), 0);
  return bytes;
}

// What the server said, if it speaks RFC 9457; else its status.
async function problemOf(answer, path) {
  try {
    const body = JSON.parse(new TextDecoder().decode(await limited(answer, 1 << 16, path)));
    const { code, detail, title } = body;
    if (typeof code === "string") return new Problem(code, String(detail ?? title ?? code), answer.status, body);
  } catch {
    // It does not.
  }
  return new Problem("status", `${path} was answered with status ${answer.status}`, answer.status);
}
