#!/usr/bin/env bash
# Check us without us: one receipt, verified by sha256sum, openssl and Python's standard library; nothing of this is Interlock's code.
# usage: check.sh RECEIPT.tlog-proof VKEY
# Python takes the text apart, with strict base64; `sha256sum` hashes leaf and nodes; `openssl` checks the key's signature over the head.
# Exit code: 0 verified, 1 not. It reads the tlog-proof form, and takes `extra` for the leaf. It does not decode the record, nor compare
# heads; and it leaves it to openssl which public keys are sound, which Interlock's own verifiers do not.
set -euo pipefail
receipt=$(realpath "$1") vkey=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "not verified: $*" >&2; exit 1; }

# Writes: leaf, text (what is signed), key.der, signature, and `steps`: the turn of each level and the sibling, in hex.
python3 - "$receipt" "$vkey" <<'PYTHON' || fail "malformed"
import base64, hashlib, sys
def strict(text):
    data = base64.b64decode(text, validate=True)
    assert base64.b64encode(data).decode() == text
    return data
proof = open(sys.argv[1], "rb").read().decode()
name, key_id, key = sys.argv[2].split("+", 2)
head, checkpoint = proof.split("\n\n", 1)
header, extra, index, *path = head.split("\n")
assert header == "c2sp.org/tlog-proof@v1" and extra.startswith("extra ") and index.startswith("index ")
body, lines = checkpoint.rsplit("\n\n", 1)
origin, size, root = body.split("\n")[:3]
at, last, key = int(index[6:]), int(size) - 1, strict(key)
assert origin == name and key[0] == 1 and len(key) == 33 and 0 <= at <= last
assert hashlib.sha256(name.encode() + b"\n" + key).hexdigest()[:8] == key_id
ours = [strict(line.split(" ")[2]) for line in lines.strip().split("\n") if line.startswith("— %s " % name)]
signature = next(line[4:] for line in ours if line[:4].hex() == key_id)
steps = []
for sibling in map(strict, path):
    while at % 2 == 0 and at == last:  # no sibling here: the right edge is promoted
        at, last = at // 2, last // 2
    assert last > 0 and len(sibling) == 32
    steps.append(("right" if at % 2 == 0 else "left") + " " + sibling.hex())
    at, last = at // 2, last // 2
assert last == 0, "wrong length"
spki = bytes.fromhex("302a300506032b6570032100") + key[1:]
files = {"leaf": strict(extra[6:]), "text": (body + "\n").encode(), "key.der": spki, "signature": signature,
         "steps": "".join(step + "\n" for step in steps).encode(), "root": strict(root).hex().encode()}
for file, content in files.items():
    open(file, "wb").write(content)
PYTHON

# Hashes what comes in hex.
hash_of() { python3 -c 'import sys; sys.stdout.buffer.write(bytes.fromhex(sys.stdin.read()))' | sha256sum | cut -d' ' -f1; }
hash=$( (printf '\000'; cat leaf) | sha256sum | cut -d' ' -f1)
echo "leaf   $hash"
while read -r side sibling; do
  if [ "$side" = right ]; then pair=$hash$sibling; else pair=$sibling$hash; fi
  hash=$(printf '01%s' "$pair" | hash_of)
  echo "node   $hash"
done < steps
[ "$hash" = "$(cat root)" ] || fail "the path leads to another root"
echo "root   $hash: as the head states"
openssl pkeyutl -verify -pubin -keyform DER -inkey key.der -rawin -in text -sigfile signature > openssl.log 2>&1 || fail "signature"
echo "signed by the key"
echo "verified"
