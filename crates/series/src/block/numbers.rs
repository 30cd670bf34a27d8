//! The numbers of a column.
//!
//! ```text
//! digits          0 to 22: how many digits stand behind the point; 64 more: there are exceptions; 255: floats
//! exceptions      their count, then for each: how many numbers are between it and the one before, and its
//!                 eight bytes
//! stream          integers; where an exception is, the integer before again. Or floats
//! ```
//!
//! A number is stored as an integer if the integer divided by a power of ten gives it again, bit for
//! bit: a sensor's 21.53 as 2153. A few numbers of a column may be no such decimals, for example -0.0. If
//! they are many, all are stored as floats: pco is good at these, too.

use std::ops::Range;

use super::stream::{self, Paged};
use crate::bytes::{Reader, put_len};
use crate::damage::Damage;

/// Powers of ten up to this one are exact.
const MAX_DIGITS: usize = 22;
const POWERS: [f64; MAX_DIGITS + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];
/// A whole number below this is exact as a float.
const EXACT: f64 = 9_007_199_254_740_992.0;
const FLOATS: u8 = 255;
const WITH_EXCEPTIONS: u8 = 64;
/// An exception costs ten bytes. One in so many numbers is cheaper than floats.
const ONE_IN: usize = 32;
/// More digits of all numbers cost less than exceptions if they are at most so many.
const CHEAP: usize = 3;
/// So many numbers are looked at first, to see how many digits there are.
const LOOKED_AT: usize = 128;

/// Numbers as integers, with exceptions: which one, and its bits.
struct Decimals {
    digits: usize,
    integers: Vec<i64>,
    exceptions: Vec<(usize, u64)>,
}

pub(super) fn encode(numbers: &[f64], bytes: &mut Vec<u8>) {
    let Some(decimals) = decimals(numbers) else {
        bytes.push(FLOATS);
        stream::encode_floats(numbers, bytes);
        return;
    };
    let digits = u8::try_from(decimals.digits).unwrap_or(0);
    if decimals.exceptions.is_empty() {
        bytes.push(digits);
    } else {
        bytes.push(digits | WITH_EXCEPTIONS);
        put_len(bytes, decimals.exceptions.len());
        let mut next = 0;
        for (at, bits) in decimals.exceptions {
            put_len(bytes, at - next);
            bytes.extend(bits.to_le_bytes());
            next = at + 1;
        }
    }
    stream::encode_integers(&decimals.integers, bytes);
}

/// The numbers times a power of ten, if that is exact for nearly all.
fn decimals(numbers: &[f64]) -> Option<Decimals> {
    let step = (numbers.len() / LOOKED_AT).max(1);
    let sample = numbers.iter().step_by(step);
    // One digit more than there are: none are enough.
    let mut enough: Vec<usize> = sample
        .map(|number| more_digits(*number, 0).unwrap_or(MAX_DIGITS + 1))
        .collect();
    enough.sort_unstable();
    let odd = enough.len() / ONE_IN;
    let mut digits = *enough.get(enough.len().checked_sub(odd + 1)?)?;
    if digits > MAX_DIGITS {
        return None;
    }
    let mut best = None;
    loop {
        let needs = |exceptions: &[(usize, u64)]| -> Vec<usize> {
            let places = exceptions.iter().map(|(at, _)| numbers[*at]);
            places
                .filter_map(|number| more_digits(number, digits + 1))
                .collect()
        };
        let more = match with_digits(numbers, digits) {
            Ok(found) => {
                // A few digits more cost less than exceptions do.
                let needs = needs(&found.exceptions).into_iter();
                best = Some(found);
                needs.filter(|more| *more <= digits + CHEAP).max()
            }
            Err(exceptions) => needs(&exceptions).into_iter().min(),
        };
        match more {
            Some(more) => digits = more,
            None => return best,
        }
    }
}

/// The numbers with so many digits behind the point. If there are too many exceptions: the first of
/// them.
fn with_digits(numbers: &[f64], digits: usize) -> Result<Decimals, Vec<(usize, u64)>> {
    let power = POWERS[digits];
    let most = numbers.len() / ONE_IN + usize::from(numbers.len() >= 4);
    let mut exceptions = Vec::new();
    let mut integers = Vec::with_capacity(numbers.len());
    let mut before = 0;
    for (at, number) in numbers.iter().enumerate() {
        if let Some(integer) = decimal(*number, power) {
            before = integer;
        } else {
            exceptions.push((at, number.to_bits()));
            if exceptions.len() > most {
                return Err(exceptions);
            }
        }
        integers.push(before);
    }
    Ok(Decimals {
        digits,
        integers,
        exceptions,
    })
}

/// How many digits behind the point give the number exactly: the fewest, but not fewer than `least`.
fn more_digits(number: f64, least: usize) -> Option<usize> {
    (least..=MAX_DIGITS).find(|digits| decimal(number, POWERS[*digits]).is_some())
}

/// The number times a power of ten, if that divided by the power gives the number again, bit for bit.
#[allow(clippy::cast_possible_truncation)] // It is below 2^53.
fn decimal(number: f64, power: f64) -> Option<i64> {
    /// Added to a number below 2^51 and taken away again, this rounds it to a whole one.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let product = number * power;
    let scaled = if product.abs() < EXACT / 4.0 {
        (product + ROUND) - ROUND
    } else {
        product.round()
    };
    let integer = scaled as i64;
    // -0.0 divided by anything is -0.0 again, but as an integer it is 0.
    #[allow(clippy::cast_precision_loss)]
    let is_exact = scaled.abs() < EXACT && (integer as f64 / power).to_bits() == number.to_bits();
    is_exact.then_some(integer)
}

/// The numbers of a column, to be read.
#[derive(Debug)]
pub(super) struct Numbers {
    /// What the integers are divided by. `None`: they are floats.
    power: Option<f64>,
    /// Exceptions in order: which number, and its bits.
    exceptions: Vec<(usize, u64)>,
    stream: Paged,
}

impl Numbers {
    /// Reads where `count` numbers are. `at` says where in the bytes a reader is.
    pub(super) fn parse(
        reader: &mut Reader<'_>,
        count: usize,
        at: impl Fn(Reader<'_>) -> usize,
    ) -> Result<Self, Damage> {
        let code = reader.byte()?;
        let mut exceptions = Vec::new();
        let power = if code == FLOATS {
            None
        } else {
            let digits = usize::from(code & !WITH_EXCEPTIONS);
            Some(*POWERS.get(digits).ok_or(Damage::Content)?)
        };
        if power.is_some() && code & WITH_EXCEPTIONS != 0 {
            let mut next = 0;
            for _ in 0..reader.len(count)? {
                let exception = next + reader.len(count.saturating_sub(next + 1))?;
                let bits = reader.take(8)?.first_chunk().ok_or(Damage::Short)?;
                exceptions.push((exception, u64::from_le_bytes(*bits)));
                next = exception + 1;
            }
        }
        Ok(Self {
            power,
            exceptions,
            stream: Paged::read(reader, count, at)?,
        })
    }

    /// Appends the numbers of a range.
    pub(super) fn read(
        &self,
        bytes: &[u8],
        range: Range<usize>,
        into: &mut Vec<f64>,
    ) -> Result<(), Damage> {
        let Some(power) = self.power else {
            return self.stream.floats(bytes, range, into);
        };
        let mut integers = Vec::with_capacity(range.len());
        self.stream.integers(bytes, range.clone(), &mut integers)?;
        let begin = into.len();
        // They are below 2^53, so this is exact.
        #[allow(clippy::cast_precision_loss)]
        into.extend(integers.iter().map(|integer| *integer as f64 / power));
        let first = self.exceptions.partition_point(|(at, _)| *at < range.start);
        for (at, bits) in &self.exceptions[first..] {
            if *at >= range.end {
                break;
            }
            into[begin + at - range.start] = f64::from_bits(*bits);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digits_are_those_of_the_numbers() {
        let of = |numbers: &[f64]| {
            decimals(numbers).map(|it| (it.digits, it.integers, it.exceptions.len()))
        };
        assert_eq!(
            of(&[21.53, 21.5, -4.0]),
            Some((2, vec![2153, 2150, -400], 0))
        );
        assert_eq!(of(&[1e300]), None);
        assert_eq!(of(&[0.1 + 0.2]), None);
        assert_eq!(of(&[1e15, 0.5]), None);
    }

    #[test]
    fn a_few_odd_numbers_are_exceptions() {
        let mut numbers: Vec<f64> = (0..400).map(|n| f64::from(n) / 10.0).collect();
        numbers[7] = -0.0;
        numbers[8] = std::f64::consts::PI;
        numbers[399] = 1e300;
        let it = decimals(&numbers).map(|it| (it.digits, it.exceptions));
        let expected = [7, 8, 399].map(|at| (at, numbers[at].to_bits()));
        assert_eq!(it, Some((1, expected.to_vec())));
    }
}
