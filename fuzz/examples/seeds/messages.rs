//! Files of the log of messages.

use beaconry_fuzz::Pen;

use crate::{Seeds, named};

/// Byte 0: records as they are, or twelve messages in four commits, which the input then damages.
pub(crate) fn seeds() -> Seeds {
    let harmed = |harm: &[(u8, u16, Option<u8>)]| {
        let mut pen = Pen::default();
        pen.byte(1).byte(12);
        for number in 0..12 {
            let commit = if number % 3 == 2 { 0x80 } else { 0 };
            pen.byte(number | commit).byte(b'x').byte(20 + number);
        }
        for &(kind, at, value) in harm {
            pen.byte(kind).word(at);
            if let Some(value) = value {
                pen.byte(value);
            }
        }
        pen.into_bytes()
    };
    // The head of a block, which says that it has one message, and no body.
    let block = [&[1_u8][..], &[0; 8], &[1, 0, 0, 0], &[0; 16], &[9, 0, 0, 0]].concat();
    let index = [&[2_u8][..], &1_u64.to_le_bytes(), &[0; 44]].concat();
    let mut records = Pen::default();
    records
        .byte(0)
        .bytes(&block)
        .bytes(&index)
        .bytes(b"")
        .bytes(b"x");
    named([
        ("nothing-happened", harmed(&[])),
        ("torn", harmed(&[(0, 300, None)])),
        ("zeros-behind", harmed(&[(1, 200, None)])),
        ("a-hole", harmed(&[(3, 120, Some(30))])),
        ("a-bit", harmed(&[(4, 150, Some(1))])),
        ("a-bit-of-the-head", harmed(&[(4, 13, Some(3))])),
        ("made-up", records.into_bytes()),
    ])
}
