//! Bundles under a policy: their head is cosigned as that of a receipt is.

use super::super::desk::{Desk, SIZE};
use super::super::{Case, log::Log};
use super::{Witness, cosigned, policy, text, under, witness_lines};

/// The usual bundle under a head with these lines behind the log's.
fn with(desk: &Desk, ours: &str, name: &str, checkpoint: &str) -> Case {
    let mut bundle = desk.usual();
    bundle.checkpoint = checkpoint;
    under(ours, desk.case(name, &bundle))
}

pub fn good() -> Vec<Case> {
    let desk = Desk::new();
    let log = &desk.log;
    let (ours, head) = (policy(log), |witnesses: &[u8]| cosigned(log, SIZE, witnesses));
    let none = format!("log {}\n{}quorum none\n", log.vkey(), witness_lines());
    let met = with(&desk, &ours, "whose head the quorum cosigned", &head(&[1, 3, 4]));
    vec![
        with(&desk, &ours, "whose head all witnesses cosigned", &head(&[1, 2, 3, 4])),
        with(&desk, &none, "that nobody cosigned, where nobody must", &log.head(SIZE)),
        Case { kept: Some(log.head(SIZE)), ..with(&desk, &ours, "beside its own head, cosigned", &head(&[2, 3, 4])) },
        met,
    ]
}

pub fn evil() -> Vec<Case> {
    let desk = Desk::new();
    let log = &desk.log;
    let (ours, head) = (policy(log), |witnesses: &[u8]| cosigned(log, SIZE, witnesses));
    let mut flipped = Witness::new(1).cosignature(&text(log, SIZE), super::TIME);
    flipped[40] ^= 1;
    let forged = format!("{}{}", head(&[2, 3, 4]), Witness::new(1).line_of(&flipped));
    let fork = cosigned(&Log { leaves: log.leaves[1..].to_vec(), ..log.clone() }, 9, &[1, 2, 4]);
    vec![
        with(&desk, &ours, "that nobody cosigned", &log.head(SIZE)),
        with(&desk, &ours, "whose head too few cosigned", &head(&[1, 4])),
        with(&desk, &ours, "whose head one of two groups cosigned", &head(&[1, 2, 3])),
        with(&desk, &ours, "whose head strangers cosigned", &head(&[7, 8, 9])),
        with(&desk, &ours, "whose head has a false cosignature", &forged),
        with(&desk, &ours, "under a cosigned head of another tree", &fork),
    ]
}
