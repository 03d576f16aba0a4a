//! Receipts as text and range receipts as JSON: one spelling, every limit.

use verifier::{
    hash::{Hash, leaf_hash},
    note::MAX_NOTE,
    proof::MAX_PATH,
    receipt::{MAX_EXTRA, MAX_RANGE_PROOF, RangeReceipt, Receipt, ReceiptError},
    text::{TextError, b64},
};

const NOTE: &str = "o\n1\nx\n\n\u{2014} o AAAAAAA=\n";

fn receipt(path: usize, extra: Option<Vec<u8>>) -> Receipt {
    Receipt { index: 5, path: vec![leaf_hash(b"x"); path], extra, checkpoint: NOTE.into() }
}

#[test]
fn receipts_are_read_and_written_byte_for_byte() {
    for path in [0, 1, 2, MAX_PATH] {
        for extra in [None, Some(vec![]), Some(vec![1]), Some(vec![7; MAX_EXTRA])] {
            let receipt = receipt(path, extra);
            let text = receipt.text();
            assert_eq!(Receipt::parse(&text), Ok(receipt));
        }
    }
    let x = leaf_hash(b"x");
    assert_eq!(
        receipt(1, Some(vec![1, 2, 3])).text(),
        format!("c2sp.org/tlog-proof@v1\nextra AQID\nindex 5\n{x}\n\n{NOTE}")
    );
}

#[test]
fn every_other_receipt_is_refused() {
    let x = leaf_hash(b"x");
    let head = "c2sp.org/tlog-proof@v1";
    let cases = [
        (String::new(), ReceiptError::Header),
        (head.into(), ReceiptError::Header),
        (format!("c2sp.org/tlog-proof@v2\nindex 5\n\n{NOTE}"), ReceiptError::Header),
        (format!("{head} \nindex 5\n\n{NOTE}"), ReceiptError::Header),
        (format!("\u{feff}{head}\nindex 5\n\n{NOTE}"), ReceiptError::Header),
        (format!("{head}\r\nindex 5\n\n{NOTE}"), ReceiptError::Header),
        (format!("{head}\n"), ReceiptError::Shape),
        (format!("{head}\nindex 5"), ReceiptError::Shape),
        (format!("{head}\nindex 5\n"), ReceiptError::Shape),
        (format!("{head}\nindex 5\n\n"), ReceiptError::Shape),
        (format!("{head}\nindex 5\n{x}"), ReceiptError::Shape),
        (format!("{head}\n\n{NOTE}"), ReceiptError::Shape),
        (format!("{head}\nIndex 5\n\n{NOTE}"), ReceiptError::Shape),
        (format!("{head}\nindex 5\nextra AQID\n\n{NOTE}"), TextError::Length.into()),
        (format!("{head}\nextra AQID\nextra AQID\nindex 5\n\n{NOTE}"), ReceiptError::Shape),
        (format!("{head}\nextra AQI\nindex 5\n\n{NOTE}"), TextError::Base64.into()),
        (format!("{head}\nindex 05\n\n{NOTE}"), TextError::Decimal.into()),
        (format!("{head}\nindex -5\n\n{NOTE}"), TextError::Decimal.into()),
        (format!("{head}\nindex 9223372036854775808\n\n{NOTE}"), TextError::Range.into()),
        (format!("{head}\nindex 5\nZG9uJ3QgY2FyZSAx\n\n{NOTE}"), TextError::Length.into()),
        (format!("{head}\nindex 5\n{x} \n\n{NOTE}"), TextError::Length.into()),
        (receipt(MAX_PATH + 1, None).text(), ReceiptError::TooLong),
        (receipt(0, Some(vec![0; MAX_EXTRA + 3])).text(), ReceiptError::TooLong),
        (Receipt { checkpoint: "a".repeat(MAX_NOTE + 1), ..receipt(0, None) }.text(), ReceiptError::TooLong),
    ];
    for (text, error) in cases {
        let shown: String = text.chars().take(200).collect();
        assert_eq!(Receipt::parse(&text), Err(error), "{shown:?}");
    }
}

#[test]
fn a_range_receipt_has_four_fields_and_no_others() {
    let x = leaf_hash(b"x");
    let receipt = RangeReceipt { first: 3, count: 2, proof: vec![x], checkpoint: "c".into() };
    let json = format!(r#"{{"first":3,"count":2,"proof":["{x}"],"checkpoint":"c"}}"#);
    assert_eq!(serde_json::to_string(&receipt).unwrap(), json);
    assert_eq!(serde_json::from_str::<RangeReceipt>(&json).unwrap(), receipt);
    assert_eq!(receipt.check(), Ok(()));

    let short = b64(&[0; 16]);
    for other in [
        json.replace("\"count\":2,", ""),
        json.replace("\"count\":2", "\"count\":2,\"size\":9"),
        json.replace("\"count\":2", "\"count\":2,\"count\":2"),
        json.replace("\"count\":2", "\"count\":-2"),
        json.replace("\"count\":2", "\"count\":2.0"),
        json.replace(&x.to_string(), &short),
        json.replace(&format!("[\"{x}\"]"), "null"),
    ] {
        assert!(serde_json::from_str::<RangeReceipt>(&other).is_err(), "{other}");
    }
}

#[test]
fn a_range_receipt_beyond_its_limits_is_refused() {
    let receipt = |first, count, proof, note| RangeReceipt {
        first,
        count,
        proof: vec![Hash([0; 32]); proof],
        checkpoint: "c".repeat(note),
    };
    assert_eq!(receipt(0, 1, MAX_RANGE_PROOF, MAX_NOTE).check(), Ok(()));
    assert_eq!(receipt(0, 1, MAX_RANGE_PROOF + 1, 1).check(), Err(ReceiptError::TooLong));
    assert_eq!(receipt(0, 1, 0, MAX_NOTE + 1).check(), Err(ReceiptError::TooLong));
    assert_eq!(receipt(0, 0, 0, 1).check(), Err(ReceiptError::Shape));
    assert_eq!(receipt(u64::MAX, 1, 0, 1).check(), Err(ReceiptError::Shape));
    assert_eq!(receipt(1 << 63, 1, 0, 1).check(), Err(ReceiptError::Shape));
}
