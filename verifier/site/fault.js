// Why something is refused, in the words of the Rust verifier.
//
// Guarantees: every refusal of these modules is a Fault; anything else that is thrown is a defect of ours, and whoever judges must not
// take it for a verdict.

export class Fault extends Error {
  // kind: a short name, for whoever must tell one refusal of a module from another; reason: the words.
  constructor(kind, reason) {
    super(reason);
    this.name = "Fault";
    this.kind = kind;
  }
}

// Runs `read` and puts its refusal, if any, into other words.
export function worded(read, word) {
  try {
    return read();
  } catch (fault) {
    throw fault instanceof Fault ? word(fault) : fault;
  }
}
