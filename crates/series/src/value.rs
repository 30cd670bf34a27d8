//! A value, borrowed and owned.

/// A value of a column.
#[derive(Copy, Clone, PartialEq, Debug)]
pub enum Value<'a> {
    /// A finite number.
    Number(f64),
    /// A whole number that an `f64` cannot hold exactly.
    Integer(i64),
    /// True or false.
    Bool(bool),
    /// Any text.
    Text(&'a str),
}

/// A [`Value`] that owns its text.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)] // `Value` says it.
pub enum OwnedValue {
    Number(f64),
    Integer(i64),
    Bool(bool),
    Text(Box<str>),
}

impl Value<'_> {
    /// The value as a chart draws it: a number, or 1 and 0 for true and false.
    #[allow(clippy::cast_precision_loss)] // A chart has no 16 digits.
    pub const fn as_number(self) -> Option<f64> {
        match self {
            Self::Number(value) => Some(value),
            Self::Integer(value) => Some(value as f64),
            Self::Bool(value) => Some(if value { 1.0 } else { 0.0 }),
            Self::Text(_) => None,
        }
    }

    /// The same with a text of its own.
    pub fn owned(self) -> OwnedValue {
        match self {
            Self::Number(value) => OwnedValue::Number(value),
            Self::Integer(value) => OwnedValue::Integer(value),
            Self::Bool(value) => OwnedValue::Bool(value),
            Self::Text(text) => OwnedValue::Text(text.into()),
        }
    }

    /// Whether both are the same, bit for bit: `0.0` is not `-0.0`.
    pub fn is_same(self, other: Value<'_>) -> bool {
        match (self, other) {
            (Self::Number(a), Value::Number(b)) => a.to_bits() == b.to_bits(),
            (Self::Integer(a), Value::Integer(b)) => a == b,
            (Self::Bool(a), Value::Bool(b)) => a == b,
            (Self::Text(a), Value::Text(b)) => a == b,
            (Self::Number(_) | Self::Integer(_) | Self::Bool(_) | Self::Text(_), _) => false,
        }
    }
}

impl OwnedValue {
    /// The value, borrowed.
    pub fn borrow(&self) -> Value<'_> {
        match self {
            Self::Number(value) => Value::Number(*value),
            Self::Integer(value) => Value::Integer(*value),
            Self::Bool(value) => Value::Bool(*value),
            Self::Text(text) => Value::Text(text),
        }
    }
}
