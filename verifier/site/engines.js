// Which arithmetic runs: the browser's WebCrypto, or our own where the browser has none.
//
// Guarantees: whatever runs checks the same equations, so a verdict never means less; and `engines` says which ran, for the page to show.
// WebCrypto's Ed25519 (Chromium 137, Firefox 129, Safari 17, node 20) is believed only after it accepted the first vector of RFC 8032
// §7.1 and refused the same signature under another message.

let preferOwn = false;

export const ownArithmetic = () => preferOwn || globalThis.crypto?.subtle === undefined;

// For tests and for whoever wants both verdicts: our own arithmetic even where WebCrypto is there.
export function preferOwnArithmetic() {
  preferOwn = true;
}

const bytesOf = (hex) => Uint8Array.from(hex.match(/../g), (pair) => Number.parseInt(pair, 16));
const KNOWN_KEY = bytesOf("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
const KNOWN_SIGNATURE = bytesOf(
  "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
);

let ed25519 = null;

// Whether WebCrypto checks Ed25519 signatures here. Asked once.
export function webcryptoHasEd25519() {
  if (ownArithmetic()) return Promise.resolve(false);
  ed25519 ??= webcryptoVerify(KNOWN_KEY, new Uint8Array(), KNOWN_SIGNATURE)
    .then(async (accepted) => accepted && !(await webcryptoVerify(KNOWN_KEY, new Uint8Array([0]), KNOWN_SIGNATURE)))
    .catch(() => false);
  return ed25519;
}

export async function webcryptoVerify(key, message, signature) {
  const imported = await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
  return crypto.subtle.verify({ name: "Ed25519" }, imported, signature, message);
}

// {hashes, signatures}: "WebCrypto" or "our own arithmetic".
export async function engines() {
  const name = (webcrypto) => (webcrypto ? "WebCrypto" : "our own arithmetic");
  return { hashes: name(!ownArithmetic()), signatures: name(await webcryptoHasEd25519()) };
}
