// A whole search as one file: look after look, until its end or a limit, and it says which.
//
// Guarantees: at most MOST decisions; what was not looked at is said; the reader may stop, and keeps what is there.

import { getJson, Problem } from "../shell/api.js";
import { ask } from "./search.js";

// A file that a spreadsheet opens, and some fifty looks of the server.
export const MOST = 10_000;
const LOOK = 1_000;
// A look that finds the server busy is tried again after so long, so many times.
const AGAIN_MS = 1_200;
const TRIES = 6;

// Answers {blob, count, complete, next}. `tell(count)` hears how many there are so far.
export async function exported(filters, format, { signal, tell = () => {} } = {}) {
  let before = null;
  let parts = [];
  let [count, unseen, complete] = [0, 0, false];
  while (!complete && count < MOST && !signal?.aborted) {
    const page = await patient(() => (format === "csv" ? lines : getJson)(ask(filters, { limit: LOOK, before, format }), { signal }));
    parts = parts.concat(format === "csv" && parts.length > 0 ? page.results.slice(1) : page.results);
    count += page.results.length - (format === "csv" ? 1 : 0);
    [unseen, before, complete] = [unseen + page.unseen, page.next, page.next === null];
    tell(count);
  }
  const told = { filters, count, unseen, complete, next: before, exported_at: new Date().toISOString() };
  const blob = format === "csv"
    ? new Blob(parts, { type: "text/csv;charset=utf-8" })
    : new Blob([JSON.stringify({ ...told, results: parts }, null, 1)], { type: "application/json" });
  return { blob, count, complete };
}

// The lines of one look as CSV, the header first. Where it goes on stands in its `Link`.
async function lines(path, options) {
  const answer = await fetch(path, { ...options, credentials: "omit", redirect: "error" });
  const text = await answer.text();
  if (!answer.ok) throw new Problem(answer.status === 503 ? "overloaded" : "status", `${path} was answered with status ${answer.status}`, answer.status);
  const before = /[?&]before=(\d+)>; rel="next"/.exec(answer.headers.get("link") ?? "");
  return { results: text.split(/(?<=\r\n)/), unseen: 0, next: before === null ? null : Number(before[1]) };
}

// Asks again where the server says that too many look around at once.
export async function patient(load) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await load();
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== "overloaded" || tries === TRIES) throw error;
      await new Promise((wake) => setTimeout(wake, AGAIN_MS));
    }
  }
}

// Lets the browser keep a file.
export function keep(blob, name, link) {
  const url = URL.createObjectURL(blob);
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
