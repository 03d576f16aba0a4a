//! The worked vector of our format reference, made by an independent implementation: seeds 01×32 and 02×32, the entries
//! "alpha", "", "gamma", cosignature time 1,700,000,000.

use ed25519_dalek::{Signer, SigningKey};
use verifier::{
    checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint},
    hash::{EMPTY_ROOT, Hash, leaf_hash, root_of, sha256},
    note::{Note, NoteError, VerifierKey, key_id, signature_line},
    proof::{prove_consistency, prove_inclusion, verify_consistency, verify_inclusion},
    receipt::Receipt,
    text::{hex, unb64, unhex},
    tile::{self, Bundle, FULL_WIDTH, Tile},
};

use crate::support::{Tree, sure};

const ORIGIN: &str = "ledger.example/evidence";
const VKEY: &str = "ledger.example/evidence+6115c7bb+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";
const WITNESS: &str = "witness.example/w1+df1c0a35+BIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU";
const BUNDLE: &str = "0005616c7068610000000567616d6d61";
const TILE: &str = "2a158d8afd48e3f88cb4195dfdb2a9e4817d95fa57fd34440d93f9aae5c4f82b\
                    6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d\
                    4c79d0d62f7cf5ca8874155f2d3b875f2625da2bb3abc86bbd6833f25ba90e51";
const CHECKPOINT: &str = "ledger.example/evidence
3
AGY868XbXobp8XZfZbJMmU/3CMbVFFNGO6OZYeEjAMc=

\u{2014} ledger.example/evidence YRXHu9jnsgegQ8r02TWvuGnYmCNsVd25BW5ZYVmePwH5U/Vwf53FrTGCkV6woGwi4hG9KTuq5W0p1m5vDMDBwcWgsgk=
\u{2014} witness.example/w1 3xwKNQAAAABlU/EA161bI5fznznbBWF+cRRDwHCHfo7I2IVszaonrIFuhcHvVGmGvdBAVnVYpP3VNkJYq6Owg13R39eUrrcc510EAg==
";
const PROOF: &str = "c2sp.org/tlog-proof@v1\nindex 2\n5cUA1OnyvTEdqHZY/WbwPRquuF6ShEOBVQk1xanZnbM=\n\n";

const ENTRIES: [&[u8]; 3] = [b"alpha", b"", b"gamma"];

fn vkey() -> VerifierKey {
    VKEY.parse().unwrap()
}

fn entry_hashes() -> Vec<Hash> {
    ENTRIES.iter().map(|entry| leaf_hash(entry)).collect()
}

#[test]
fn the_key_text_is_read_and_written_byte_for_byte() {
    let log = SigningKey::from_bytes(&[1; 32]);
    let key = VerifierKey::new(ORIGIN, log.verifying_key().as_bytes()).unwrap();
    assert_eq!(key, vkey());
    assert_eq!(key.to_string(), VKEY);
    assert_eq!(hex(&key.id()), "6115c7bb");
    assert_eq!(key.key_bytes(), *log.verifying_key().as_bytes());
}

#[test]
fn the_witness_key_has_its_id_and_is_not_taken_for_a_log_key() {
    let witness = SigningKey::from_bytes(&[2; 32]);
    assert_eq!(hex(&key_id("witness.example/w1", 0x04, witness.verifying_key().as_bytes())), "df1c0a35");
    assert_eq!(WITNESS.parse::<VerifierKey>(), Err(NoteError::Algorithm));
}

#[test]
fn entries_hash_to_the_tile_and_the_tile_to_the_root() {
    let bundle = unhex(BUNDLE).unwrap();
    let split = Bundle { index: 0, width: 3 }.split(&bundle).unwrap();
    assert_eq!(split, ENTRIES);
    let mut written = Vec::new();
    for entry in ENTRIES {
        tile::push_entry(&mut written, entry).unwrap();
    }
    assert_eq!(written, bundle);

    let hashes = entry_hashes();
    assert_eq!(hashes.iter().map(|hash| hex(&hash.0)).collect::<String>(), TILE);
    assert_eq!(root_of(&hashes).to_string(), "AGY868XbXobp8XZfZbJMmU/3CMbVFFNGO6OZYeEjAMc=");
    assert_eq!(Tile { level: 0, index: 0, width: 3 }.path(), "tile/0/000.p/3");
    assert_eq!(Bundle { index: 0, width: 3 }.path(), "tile/entries/000.p/3");
    assert_eq!(Bundle { index: 0, width: FULL_WIDTH }.path(), "tile/entries/000");
}

#[test]
fn the_checkpoint_is_signed_by_the_log_and_cosigned_by_the_witness() {
    let signed = SignedCheckpoint::open(CHECKPOINT, &vkey(), ORIGIN).unwrap();
    let root = root_of(&entry_hashes());
    assert_eq!(signed.checkpoint(), &Checkpoint { origin: ORIGIN.into(), size: 3, root });
    assert_eq!(signed.raw(), CHECKPOINT);

    // Ed25519 is deterministic: signing again gives the very line.
    let text = signed.checkpoint().text();
    let signature = SigningKey::from_bytes(&[1; 32]).sign(text.as_bytes());
    let line = signature_line(ORIGIN, vkey().id(), &signature.to_bytes());
    assert!(CHECKPOINT.contains(&line));

    // The cosignature: eight bytes of time, then a signature over two lines and the text.
    let note = Note::parse(CHECKPOINT).unwrap();
    let cosignature = &note.signatures[1];
    let (time, signature) = cosignature.bytes.split_first_chunk::<8>().unwrap();
    let time = u64::from_be_bytes(*time);
    assert_eq!(time, 1_700_000_000);
    let witness = SigningKey::from_bytes(&[2; 32]).verifying_key();
    let witness = VerifierKey::new("witness.example/w1", witness.as_bytes()).unwrap();
    let message = format!("cosignature/v1\ntime {time}\n{}", note.text);
    assert!(witness.verify(message.as_bytes(), signature));
    assert!(!witness.verify(note.text.as_bytes(), signature));
}

#[test]
fn the_receipt_proves_the_third_entry_and_no_other() {
    let text = format!("{PROOF}{CHECKPOINT}");
    let receipt = Receipt::parse(&text).unwrap();
    assert_eq!(receipt.text(), text);
    assert_eq!((receipt.index, receipt.extra.as_ref()), (2, None));
    let signed = SignedCheckpoint::open(&receipt.checkpoint, &vkey(), ORIGIN).unwrap();
    let Checkpoint { size, root, .. } = signed.checkpoint();
    let proves = |entry: &[u8]| verify_inclusion(&leaf_hash(entry), receipt.index, *size, &receipt.path, root);
    assert_eq!(proves(b"gamma"), Ok(()));
    assert!(proves(b"alpha").is_err());
    assert!(proves(b"").is_err());
}

#[test]
fn every_bit_of_the_signed_checkpoint_counts() {
    // What the log's own key vouches for: the text and its own line. The witness's line is checked by nobody here.
    let own = CHECKPOINT.rfind("\u{2014} witness").unwrap();
    let prefix = CHECKPOINT.as_bytes()[..own].to_vec();
    for byte in 0..prefix.len() {
        for bit in 0..8 {
            let mut flipped = prefix.clone();
            flipped[byte] ^= 1 << bit;
            let Ok(flipped) = String::from_utf8(flipped) else { continue };
            assert!(SignedCheckpoint::open(&flipped, &vkey(), ORIGIN).is_err(), "byte {byte} bit {bit}");
        }
    }
}

#[test]
fn a_checkpoint_of_another_log_is_refused_even_with_a_good_signature() {
    let opened = SignedCheckpoint::open(CHECKPOINT, &vkey(), "ledger.example/other");
    assert_eq!(opened, Err(CheckpointError::Origin));
}

#[test]
fn the_published_hash_vectors_hold() {
    // RFC 6962: the empty tree, the leaf without bytes, and the eight leaves of the RFC's reference test.
    assert_eq!(sha256(b""), EMPTY_ROOT);
    assert_eq!(root_of(&[]), EMPTY_ROOT);
    assert_eq!(hex(&leaf_hash(b"").0), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    let inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let leaves: Vec<Hash> = inputs.iter().map(|input| leaf_hash(&unhex(input).unwrap())).collect();
    for (n, root) in roots.iter().enumerate() {
        assert_eq!(hex(&root_of(&leaves[..=n]).0), *root, "tree of {} leaves", n + 1);
    }
    // The audit paths and consistency proofs that the same reference test has for these leaves.
    let [a, b, c] = ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7", NODE_2_3, NODE_4_7];
    let hashes = |path: &[&str]| path.iter().map(|hex| Hash::from_slice(&unhex(hex).unwrap()).unwrap()).collect();
    let inclusion: [(u64, u64, &[&str]); 5] = [
        (0, 1, &[]),
        (0, 8, &[a, b, c]),
        (5, 8, &["bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b", NODE_6_7, roots[3]]),
        (2, 3, &[roots[1]]),
        (1, 5, &[roots[0], b, "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"]),
    ];
    let tree = Tree(leaves.clone());
    for (index, size, path) in inclusion {
        let path: Vec<Hash> = hashes(path);
        assert_eq!(sure(prove_inclusion(&tree, index, size)), path, "{index} of {size}");
        let root = root_of(&leaves[..usize::try_from(size).unwrap()]);
        verify_inclusion(&leaves[usize::try_from(index).unwrap()], index, size, &path, &root).unwrap();
    }
    let consistency: [(u64, u64, &[&str]); 4] = [
        (1, 1, &[]),
        (1, 8, &[a, b, c]),
        (6, 8, &["0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a", NODE_6_7, roots[3]]),
        (2, 5, &[b, "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"]),
    ];
    for (from, to, proof) in consistency {
        let proof: Vec<Hash> = hashes(proof);
        assert_eq!(sure(prove_consistency(&tree, from, to)), proof, "{from} to {to}");
        let root = |size: u64| root_of(&leaves[..usize::try_from(size).unwrap()]);
        verify_consistency(from, to, &proof, &root(from), &root(to)).unwrap();
    }
}

const NODE_2_3: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
const NODE_4_7: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
const NODE_6_7: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";

#[test]
fn a_second_sort_of_hash_never_gets_in() {
    // 16 bytes that were equal on both sides of a consistency check from 0 to 0 in other verifiers, and no bytes at all.
    for short in ["ZG9uJ3QgY2FyZSAx", "", "5cUA1OnyvTEdqHZY/WbwPRquuF6ShEOBVQk1xanZnbM"] {
        assert!(short.parse::<Hash>().is_err(), "`{short}`");
        assert!(serde_json::from_value::<Hash>(short.into()).is_err(), "`{short}`");
    }
    assert_eq!(Hash::from_slice(&unb64("ZG9uJ3QgY2FyZSAx").unwrap()), None);
    assert_eq!(Hash::from_slice(&[]), None);
}
