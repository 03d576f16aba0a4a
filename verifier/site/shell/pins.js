// Heads and keys that this visitor keeps, in the browser's own storage: by them a later head is held against an earlier one.
//
// Guarantees: one pin for each origin; what cannot be read back is no pin. Does not check: whoever uses a pin opens its note under its key.

const KEY = "interlock/pins/v1";
// Origins that one visitor follows; beyond, the oldest pin goes.
const MOST = 64;

// {vkey, checkpoint, at} of this origin, or null.
export function pinned(origin) {
  return all().find((pin) => pin.origin === origin) ?? null;
}

// Whether it was kept: storage may be off.
export function pin(origin, vkey, checkpoint) {
  const rest = all().filter((pin) => pin.origin !== origin);
  return store([...rest, { origin, vkey, checkpoint, at: new Date().toISOString() }].slice(-MOST));
}

export function unpin(origin) {
  return store(all().filter((pin) => pin.origin !== origin));
}

function store(pins) {
  try {
    localStorage.setItem(KEY, JSON.stringify(pins));
    return true;
  } catch {
    return false;
  }
}

function all() {
  try {
    const pins = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    const whole = (pin) => ["origin", "vkey", "checkpoint", "at"].every((field) => typeof pin?.[field] === "string");
    return Array.isArray(pins) ? pins.filter(whole) : [];
  } catch {
    return [];
  }
}
