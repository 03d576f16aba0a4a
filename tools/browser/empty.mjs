// A server over a log in which nothing stands yet: what pages say when there is nothing to show.

import { execFileSync, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";

import { command } from "./harness.mjs";

// Runs `use` with the address of its public listener; the server ends with it.
export async function withEmptyLog(use) {
  const folder = mkdtempSync(`${tmpdir()}/interlock-empty-`);
  const log = `${folder}/log`;
  execFileSync(command, ["init", "--data", log, "--origin", "ledger.example/empty", "--json"]);
  const server = spawn(command, ["serve", "--data", log, "--listen", "127.0.0.1:0", "--public", "127.0.0.1:0"], { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise((resolve) => server.once("exit", resolve));
  try {
    await use(await address(server));
  } finally {
    server.kill("SIGTERM");
    await ended;
    rmSync(folder, { recursive: true });
  }
}

async function address(server) {
  for await (const line of createInterface({ input: server.stderr })) {
    const found = /^public read API\s+(http\S+)/.exec(line);
    if (found) return found[1];
  }
  throw new Error("the server did not come up");
}
