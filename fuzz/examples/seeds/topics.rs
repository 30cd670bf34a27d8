//! Names and filters, one per line.

use crate::{Seeds, named};

pub(crate) fn seeds() -> Seeds {
    named([
        (
            "wildcards",
            b"+ #\n+ a/+\n+ a/#\n+ +/b\n+ a/b\na/b\na\na/b/c\n/\n- a/#\na/b".to_vec(),
        ),
        (
            "empty-levels",
            b"+ /\n+ +\n+ /+\n+ +/+\n+ //#\n/\n//\na\n/a".to_vec(),
        ),
        ("dollar", b"+ #\n+ $SYS/#\n+ +/a\n$SYS/a\n$a\na/$b".to_vec()),
        (
            "shared",
            b"+ $share/g/a/#\n+ $share/h/+\n+ $share/g\n+ $share//a\na\na/b".to_vec(),
        ),
        (
            "malformed",
            b"+ a#\n+ #/a\n+ a+/b\n+ a/b+\na+b\na#".to_vec(),
        ),
        (
            "retained",
            b"! a/b\n! a\n! /\n+ a/#\n+ +\n? a\n+ #\n+ $share/g/a".to_vec(),
        ),
        ("replaced", b"+ a/+\n+ a/+\na/b\n- a/+\n- a/+\na/b".to_vec()),
    ])
}
