//! Blocks of series.

use beaconry_fuzz::{Pen, series};

use crate::{Seeds, named};

/// Byte 0: a block without its checksum, or rows and what to change in their block.
pub(crate) fn seeds() -> Seeds {
    let as_it_is = |block: Vec<u8>| [vec![0], block].concat();
    let rows = |flips: &[u16]| {
        let mut pen = Pen::default();
        pen.byte(1).byte(30);
        for row in 0..30u8 {
            // A second later, at once, three values: a decimal, a state, a decimal.
            pen.byte(4).byte(0).byte(3);
            pen.byte(7)
                .byte(row)
                .byte(2)
                .byte(row / 10)
                .byte(7)
                .byte(row / 7);
        }
        for flip in flips {
            pen.word(*flip).byte(0).byte(1);
        }
        pen.into_bytes()
    };
    named([
        ("a-whole-block", as_it_is(series::whole())),
        ("whole-rollups", as_it_is(series::whole_rollups())),
        ("rows", rows(&[])),
        ("rows-and-a-bit", rows(&[9])),
        ("rows-and-bits", rows(&[2, 20, 40])),
    ])
}
