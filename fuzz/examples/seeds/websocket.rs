//! Frames that follow the handshake.

use beaconry_fuzz::Pen;

use crate::made::{connect, wire};
use crate::{Seeds, V5, named};

/// Three bytes say how the bytes are split. Plain bytes (0), the server's own (1) and frames (2, 7)
/// follow.
pub(crate) fn seeds() -> Seeds {
    const FIN: u8 = 0x80;
    let begin = || {
        let mut pen = Pen::default();
        pen.byte(3).byte(20).byte(20);
        pen
    };
    let frames = |frames: &[(u8, &[u8])]| {
        let mut pen = begin();
        for (first, payload) in frames {
            pen.byte(2).byte(*first).byte(0x5A).bytes(payload);
        }
        pen.into_bytes()
    };
    let connect = wire(&connect(V5), V5);
    let close = [3, 0xE8, b'b', b'y', b'e'];
    named([
        ("a-packet", frames(&[(FIN | 2, &connect)])),
        (
            "a-packet-in-fragments",
            frames(&[
                (2, &connect[..9]),
                (0, &connect[9..20]),
                (FIN, &connect[20..]),
            ]),
        ),
        (
            "a-ping-between-fragments",
            frames(&[(2, b"abc"), (FIN | 9, b"ping"), (FIN, b"def")]),
        ),
        ("closed", frames(&[(FIN | 2, b"abc"), (FIN | 8, &close)])),
        ("text", frames(&[(FIN | 1, b"abc")])),
        ("text-that-is-none", frames(&[(1, b"\xC3"), (FIN, b"\xC3")])),
        ("a-long-frame", frames(&[(FIN | 2, &[7; 300])])),
        ("a-continuation-of-nothing", frames(&[(FIN, b"abc")])),
        ("a-pong-unasked", frames(&[(FIN | 10, b""), (FIN | 2, b"")])),
        ("not-masked", {
            let mut pen = begin();
            pen.byte(7).byte(FIN | 2).bytes(b"abc");
            pen.into_bytes()
        }),
        ("a-length-of-all-there-is", {
            let mut pen = begin();
            pen.byte(0)
                .bytes(b"\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\x02\x03\x04abc");
            pen.into_bytes()
        }),
        ("written-meanwhile", {
            let mut pen = begin();
            pen.byte(1)
                .word(500)
                .byte(0xEE)
                .byte(2)
                .byte(FIN | 9)
                .byte(0)
                .bytes(b"ping");
            pen.byte(1)
                .word(3)
                .byte(0xDD)
                .byte(2)
                .byte(FIN | 8)
                .byte(1)
                .bytes(&close);
            pen.into_bytes()
        }),
    ])
}
