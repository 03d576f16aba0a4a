//! Signed notes and checkpoints: vectors of other implementations, and every refusal.

use ed25519_dalek::{Signer, SigningKey};
use verifier::{
    checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint},
    hash::{EMPTY_ROOT, leaf_hash},
    note::{MAX_NAME, MAX_NOTE, MAX_SIGNATURE_LINE, MAX_SIGNATURES, Note, NoteError, VerifierKey, signature_line},
    text::{TextError, b64},
};

const SPEC_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const SPEC_NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
                         Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_OTHER_KEY: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
                       then you don't know what your problem is.\n\n\
                       \u{2014} PeterNeumann \
                       x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n\
                       \u{2014} EnochRoot \
                       rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

fn key(text: &str) -> VerifierKey {
    text.parse().unwrap()
}

/// A signer of this test: name and seed.
fn signer(name: &str, seed: u8) -> (SigningKey, VerifierKey) {
    let signing = SigningKey::from_bytes(&[seed; 32]);
    let key = VerifierKey::new(name, signing.verifying_key().as_bytes()).unwrap();
    (signing, key)
}

fn line(text: &str, (signing, key): &(SigningKey, VerifierKey)) -> String {
    signature_line(key.name(), key.id(), &signing.sign(text.as_bytes()).to_bytes())
}

#[test]
fn notes_of_the_specification_and_of_go_verify() {
    let opened = Note::open(SPEC_NOTE, &[key(SPEC_KEY)]).unwrap();
    assert_eq!(opened.text(), "This is an example message.\n");
    assert_eq!(opened.verified_by(), [key(SPEC_KEY)]);

    let both = [key(GO_OTHER_KEY), key(GO_KEY)];
    assert_eq!(Note::open(GO_NOTE, &both).unwrap().verified_by(), both);
    assert_eq!(Note::open(GO_NOTE, &both[1..]).unwrap().verified_by(), &both[1..]);
}

#[test]
fn key_texts_of_other_implementations_are_written_back_byte_for_byte() {
    // The second one has a `+` inside its base64, the third is Go's checksum database.
    for text in [
        SPEC_KEY,
        "TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6",
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
    ] {
        assert_eq!(key(text).to_string(), text);
    }
}

#[test]
fn a_malformed_key_is_refused() {
    let cases = [
        ("", NoteError::MalformedKey),
        ("example.com/foo", NoteError::MalformedKey),
        ("example.com/foo+530d903a", NoteError::MalformedKey),
        ("+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", NoteError::MalformedKey),
        ("example com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", NoteError::MalformedKey),
        ("example\u{a0}com+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", NoteError::MalformedKey),
        ("example\u{7}com+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", NoteError::MalformedKey),
        ("example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", NoteError::MalformedKey),
        ("example.com/foo+530d903+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", NoteError::MalformedKey),
        ("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2", NoteError::MalformedKey),
        ("example.com/foo+530d903a+", NoteError::MalformedKey),
        ("example.com/foo+530d903a+AQ==", NoteError::MalformedKey),
        ("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\n", NoteError::MalformedKey),
        ("example.com/bar+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", NoteError::KeyId),
        ("example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", NoteError::KeyId),
        ("example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", NoteError::Algorithm),
    ];
    for (text, error) in cases {
        assert_eq!(text.parse::<VerifierKey>(), Err(error), "`{text}`");
    }
    assert_eq!(VerifierKey::new(&"n".repeat(MAX_NAME + 1), &[1; 32]), Err(NoteError::TooLong));
    assert_eq!("n".repeat(MAX_SIGNATURE_LINE + 1).parse::<VerifierKey>(), Err(NoteError::TooLong));
}

#[test]
fn a_malformed_note_is_refused() {
    let signature = SPEC_NOTE.split_once("\n\n").unwrap().1;
    let cases = [
        (String::new(), NoteError::Shape),
        ("text\n".into(), NoteError::Shape),
        ("text\n\n".into(), NoteError::Shape),
        (format!("text\n{signature}"), NoteError::Shape),
        (format!("text\n\n{}", signature.trim_end()), NoteError::Shape),
        (format!("text\n\n{signature}\n"), NoteError::Shape),
        (format!("text\n\n{signature}\n\n"), NoteError::Shape),
        (format!("text\r\n\n{signature}"), NoteError::Control),
        (format!("text\t\n\n{signature}"), NoteError::Control),
        (format!("text\0\n\n{signature}"), NoteError::Control),
        (format!("text\n\nmore text\n{signature}"), NoteError::SignatureLine),
        ("text\n\n- example.com/foo Uw2QOkk=\n".into(), NoteError::SignatureLine),
        ("text\n\n\u{2014}example.com/foo Uw2QOkk=\n".into(), NoteError::SignatureLine),
        ("text\n\n\u{2014}  Uw2QOkk=\n".into(), NoteError::SignatureLine),
        ("text\n\n\u{2014} example.com/foo  Uw2QOkk=\n".into(), NoteError::SignatureLine),
        ("text\n\n\u{2014} example.com/foo Uw2QOkk= \n".into(), NoteError::SignatureLine),
        ("text\n\n\u{2014} example+com Uw2QOkk=\n".into(), NoteError::SignatureLine),
        ("text\n\n\u{2014} example\u{2003}com Uw2QOkk=\n".into(), NoteError::SignatureLine),
        ("text\n\n\u{2014} example.com/foo\n".into(), NoteError::SignatureLine),
        ("text\n\n\u{2014} example.com/foo \n".into(), NoteError::SignatureLine),
        // Four bytes are an id without a signature.
        ("text\n\n\u{2014} example.com/foo Uw2QOg==\n".into(), NoteError::SignatureLine),
        ("text\n\n\u{2014} example.com/foo Uw2QOkk\n".into(), NoteError::SignatureLine),
    ];
    for (note, error) in cases {
        assert_eq!(Note::parse(&note), Err(error), "{note:?}");
    }
}

#[test]
fn the_last_empty_line_parts_text_and_signatures() {
    let signer = signer("a.example", 1);
    let text = "one\n\n\u{2014} looks like a signature\n\ntwo\n";
    let note = format!("{text}\n{}", line(text, &signer));
    assert_eq!(Note::open(&note, &[signer.1]).unwrap().text(), text);
    assert_eq!(Note::parse("\n\n\u{2014} a Uw2QOkk=\n").unwrap().text, "\n");
}

#[test]
fn lines_of_unknown_keys_are_ignored_and_a_failing_line_of_a_known_key_voids_the_note() {
    let (log, other) = (signer("log.example", 1), signer("witness.example", 2));
    let text = "hello\n";
    let good = line(text, &log);
    let bad = line("another text\n", &log);
    let foreign = line("another text\n", &other);
    // Same name, other key: another id, hence unknown.
    let impostor = line(text, &signer("log.example", 3));
    // Same id bytes under another name: unknown as well.
    let renamed = good.replace("log.example", "gol.example");

    let open = |lines: &[&str], keys: &[VerifierKey]| Note::open(&format!("{text}\n{}", lines.concat()), keys);
    let log_key = std::slice::from_ref(&log.1);
    assert!(open(&[&good], log_key).is_ok());
    assert!(open(&[&foreign, &impostor, &renamed, &good], log_key).is_ok());
    assert_eq!(open(&[&foreign, &impostor, &renamed], log_key), Err(NoteError::NoKnownKey));
    assert_eq!(open(&[&bad], log_key), Err(NoteError::BadSignature));
    assert_eq!(open(&[&good, &bad], log_key), Err(NoteError::BadSignature));
    assert_eq!(open(&[&bad, &good], log_key), Err(NoteError::BadSignature));
    assert_eq!(open(&[&good, &foreign], &[log.1.clone(), other.1]), Err(NoteError::BadSignature));
    assert_eq!(open(&[&good], &[]), Err(NoteError::NoKnownKey));
    assert_eq!(open(&[&good, &good], log_key).unwrap().verified_by(), log_key);
    // A signature of another length under the known id.
    let mut short = log.1.id().to_vec();
    short.extend([7; 63]);
    let short = format!("\u{2014} log.example {}\n", b64(&short));
    assert_eq!(open(&[&good, &short], log_key), Err(NoteError::BadSignature));
}

#[test]
fn limits_of_notes_hold() {
    let signer = signer("log.example", 1);
    let text = "hello\n";
    let line = line(text, &signer);
    let keys = [signer.1];
    let most = format!("{text}\n{}", line.repeat(MAX_SIGNATURES));
    assert!(Note::open(&most, &keys).is_ok());
    assert_eq!(Note::open(&format!("{most}{line}"), &keys), Err(NoteError::TooLong));

    let long = format!("\u{2014} other.example {}\n", b64(&vec![0; MAX_SIGNATURE_LINE]));
    assert_eq!(Note::open(&format!("{text}\n{line}{long}"), &keys), Err(NoteError::TooLong));
    // An ML-DSA-44 cosignature fits.
    let large = format!("\u{2014} other.example {}\n", b64(&[0; 4 + 8 + 2420]));
    assert!(Note::open(&format!("{text}\n{line}{large}"), &keys).is_ok());

    assert_eq!(Note::parse(&"a".repeat(MAX_NOTE + 1)), Err(NoteError::TooLong));
}

#[test]
fn a_checkpoint_text_has_one_spelling() {
    let root = leaf_hash(b"a");
    let checkpoint = Checkpoint { origin: "log.example/a".into(), size: 7, root };
    assert_eq!(checkpoint.text(), format!("log.example/a\n7\n{root}\n"));
    assert_eq!(Checkpoint::parse_text(&checkpoint.text()), Ok(checkpoint.clone()));
    assert_eq!(Checkpoint::parse_text(&format!("{}extension\nanother one\n", checkpoint.text())), Ok(checkpoint));
    let empty = format!("o\n0\n{EMPTY_ROOT}\n");
    assert_eq!(Checkpoint::parse_text(&empty).unwrap().size, 0);

    let cases = [
        (String::new(), CheckpointError::Shape),
        (format!("o\n7\n{root}"), CheckpointError::Shape),
        ("o\n7\n".into(), CheckpointError::Shape),
        (format!("\n7\n{root}\n"), CheckpointError::Shape),
        (format!("o\n7\n{root}\n\n"), CheckpointError::Shape),
        (format!("o\n7\n{root}\nextension\n\n"), CheckpointError::Shape),
        (format!("{}\n7\n{root}\n", "o".repeat(MAX_NAME + 1)), CheckpointError::Shape),
        (format!("o\n07\n{root}\n"), TextError::Decimal.into()),
        (format!("o\n+7\n{root}\n"), TextError::Decimal.into()),
        (format!("o\n-7\n{root}\n"), TextError::Decimal.into()),
        (format!("o\n7 \n{root}\n"), TextError::Decimal.into()),
        (format!("o\n\n{root}\n"), TextError::Decimal.into()),
        (format!("o\n9223372036854775808\n{root}\n"), TextError::Range.into()),
        ("o\n7\nZG9uJ3QgY2FyZSAx\n".into(), TextError::Length.into()),
        (format!("o\n7\n{}\n", root.to_string().trim_end_matches('=')), TextError::Length.into()),
        (format!("o\n7\n{root} \n"), TextError::Length.into()),
        (format!("o\n0\n{root}\n"), CheckpointError::EmptyRoot),
    ];
    for (text, error) in cases {
        assert_eq!(Checkpoint::parse_text(&text), Err(error), "{text:?}");
    }
}

#[test]
fn a_checkpoint_whose_own_line_fails_is_void() {
    let log = signer("log.example", 1);
    let checkpoint = Checkpoint { origin: "log.example".into(), size: 1, root: leaf_hash(b"a") };
    let text = checkpoint.text();
    let good = format!("{text}\n{}", line(&text, &log));
    assert_eq!(SignedCheckpoint::open(&good, &log.1, "log.example").unwrap().checkpoint(), &checkpoint);
    let failing = format!("{good}{}", line("something else\n", &log));
    let opened = SignedCheckpoint::open(&failing, &log.1, "log.example");
    assert_eq!(opened, Err(CheckpointError::Note(NoteError::BadSignature)));
}
