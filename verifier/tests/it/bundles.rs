//! Evidence bundles: the format against its schema, what a verdict says of one, and that nothing in one can be changed.

use verifier::bundle::{Bundle, MAGIC, Part};
use verifier::verify::{Beside, Rung, climb_bundle, judge};

use crate::corpus::{Desk, good_bundles};

const BUNDLE_CDDL: &str = include_str!("../../bundle.cddl");

#[test]
fn every_good_bundle_is_valid_under_the_schema_and_reads_back_as_written() {
    for case in good_bundles() {
        cddl::validate_cbor_from_slice(BUNDLE_CDDL, &case.input, None)
            .unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let bundle = Bundle::decode(&case.input).unwrap();
        assert_eq!(bundle.encode(), case.input, "{}", case.name);
        assert!(case.input.starts_with(&MAGIC));
    }
}

#[test]
fn the_schema_itself_refuses_what_it_does_not_have() {
    let desk = Desk::new();
    let refused = |change: &dyn Fn(&mut Bundle<'static>)| {
        let mut bundle = desk.usual();
        change(&mut bundle);
        let bytes = bundle.encode();
        assert!(cddl::validate_cbor_from_slice(BUNDLE_CDDL, &bytes, None).is_err());
        assert!(Bundle::decode(&bytes).is_err());
    };
    refused(&|bundle| bundle.entries[0].index = 1 << 63);
    refused(&|bundle| bundle.manifest.choice = str::from_utf8(vec![b'x'; 5_000].leak()).unwrap());
    refused(&|bundle| bundle.entries[0].record = vec![0; 65_536].leak());
}

#[test]
fn a_verified_bundle_says_what_is_in_it_and_what_was_not_checked() {
    let desk = Desk::new();
    let bytes = desk.usual().encode();
    let climb = climb_bundle(&bytes, &[desk.log.key()]);
    assert_eq!(climb.held, [Rung::Decoded, Rung::Included, Rung::Signed, Rung::Disclosed, Rung::Governed]);
    let verified = climb.verdict.unwrap();
    let states: Vec<_> = verified.decisions().map(|(index, _, parts)| (index, parts.request.state())).collect();
    assert_eq!(
        states,
        [(3, "disclosed"), (7, "committed"), (8, "erased"), (10, "lost"), (13, "disclosed"), (17, "disclosed")]
    );
    assert_eq!(verified.epochs()[&1], b"the first epoch, in two parts");
    assert_eq!(verified.epochs()[&2], b"a candidate");
    let said = judge(&bytes, Beside::default(), &[desk.log.key()]);
    let text = said.text("x");
    for part in [
        "ok    governed",
        "verified: a bundle of 12 records: 2 decisions that allow, 4 that deny, 2 epochs",
        "entries between 0 and 17 of 19 in ledger.example/evidence",
        "not checked: choice",
        "not checked: split view",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn no_bit_of_a_bundle_can_be_changed_but_in_its_choice_and_in_what_is_said_to_be_withheld() {
    let desk = Desk::new();
    let all = desk.bundle(&[0, 1, 2, 3, 5, 6, 7], 9);
    let bytes = all.encode();
    let mut through = 0;
    for bit in 0..8 * bytes.len() {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if climb_bundle(&flipped, &[desk.log.key()]).verdict.is_ok() {
            let read = Bundle::decode(&flipped).unwrap();
            let withheld = |bundle: &Bundle<'_>| {
                let parts = bundle.entries.iter().filter_map(|entry| entry.parts);
                parts
                    .flat_map(|parts| [parts.request, parts.detail])
                    .any(|part| matches!(part, Part::Committed | Part::Lost))
            };
            let same = Bundle { manifest: all.manifest.clone(), entries: all.entries.clone(), ..read.clone() };
            assert_eq!(same, all, "bit {bit}: the head or the proof");
            assert!(read.manifest != all.manifest || withheld(&read), "bit {bit}");
            assert_eq!(
                (read.manifest.vkey, &read.manifest.epochs),
                (all.manifest.vkey, &all.manifest.epochs),
                "bit {bit}"
            );
            through += 1;
        }
    }
    // Seven bits of each character of the choice at most, and the two states of the two parts that are withheld.
    assert!(through > 0 && through <= 7 * all.manifest.choice.len() + 4, "{through}");
}
