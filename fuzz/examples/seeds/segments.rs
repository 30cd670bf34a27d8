//! Files of the server's store.

use beaconry_fuzz::Pen;

use crate::{Seeds, named};

/// Byte 0: a file as it is, or three groups of two records, which the input then damages.
pub(crate) fn seeds() -> Seeds {
    let harmed = |harm: &[(u8, u16, Option<u8>)]| {
        let mut pen = Pen::default();
        pen.byte(1).byte(3);
        for _ in 0..3 {
            pen.byte(2).byte(20).byte(7).byte(20).byte(7);
        }
        for &(kind, at, value) in harm {
            pen.byte(kind).word(at);
            if let Some(value) = value {
                pen.byte(value);
            }
        }
        pen.into_bytes()
    };
    let mut whole = vec![0];
    whole.extend_from_slice(&beaconry_fuzz::segments::whole());
    named([
        ("a-whole-file", whole),
        ("nothing-happened", harmed(&[])),
        ("room-behind", harmed(&[(2, 0, Some(99))])),
        (
            "torn-in-the-last-group",
            harmed(&[(0, 280, None), (2, 0, Some(99))]),
        ),
        ("zeros-in-the-last-group", harmed(&[(1, 280, None)])),
        ("a-hole-in-the-first-group", harmed(&[(3, 40, Some(30))])),
        ("a-bit-of-the-second-group", harmed(&[(4, 150, Some(1))])),
    ])
}
