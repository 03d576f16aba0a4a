// Reads details by the pages' decoder: base64 on standard input, one a line, and for each a line of JSON: its fields, or `null` for what is
// refused. See `it/pages.rs`.

import { readFileSync } from "node:fs";

import { decodeDetail } from "../site/detail.js";
import { Fault } from "../site/fault.js";
import { hex, unb64 } from "../site/text.js";

const plain = (_, value) => (typeof value === "bigint" ? String(value) : value instanceof Uint8Array ? hex(value) : value);

for (const line of readFileSync(0, "utf8").split("\n").slice(0, -1)) {
  try {
    console.log(JSON.stringify(decodeDetail(unb64(line)), plain));
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    console.log("null");
  }
}
