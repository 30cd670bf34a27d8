//! The commands that a device understands, as buttons and fields show them.

use fleet::{Argument, KnownCommand};

/// A command that a device understands.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandView {
    /// Its name: any text.
    pub name: String,
    /// Whether the page asks before it sends it.
    pub destructive: bool,
    /// What it takes.
    pub arguments: Vec<ArgumentView>,
}

/// An argument of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgumentView {
    /// The member of the command's JSON object: any text.
    pub name: String,
    /// What it is.
    pub kind: ArgumentKind,
    /// The unit's symbol, safe to show.
    pub unit: Option<String>,
    /// The least number.
    pub least: Option<f64>,
    /// The greatest number.
    pub most: Option<f64>,
    /// What stands in the field at first.
    pub default: Option<String>,
}

/// What an argument is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    /// Any finite number.
    Number,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// Any text.
    Text,
}

impl CommandView {
    /// A command as the device announced it.
    pub fn new(known: &KnownCommand<'_>) -> Self {
        Self {
            name: known.name.to_owned(),
            destructive: known.destructive || is_destructive(known.name),
            arguments: known.arguments.iter().map(ArgumentView::new).collect(),
        }
    }
}

impl ArgumentView {
    fn new(argument: &Argument) -> Self {
        use api::fleet::Scalar;
        let default = argument.default.as_ref().map(|default| match default {
            Scalar::Bool(value) => value.to_string(),
            Scalar::Number(value) => super::format::exact(*value),
            Scalar::Text(value) => value.clone(),
        });
        let kind = match (argument.kind.as_deref(), &argument.default) {
            (Some("integer"), _) => ArgumentKind::Integer,
            (Some("boolean"), _) | (None, Some(Scalar::Bool(_))) => ArgumentKind::Boolean,
            (Some("string"), _) | (None, Some(Scalar::Text(_))) => ArgumentKind::Text,
            (Some("number"), _) | (None, Some(Scalar::Number(_))) => ArgumentKind::Number,
            // Limits are limits of numbers. What nothing is said about may be anything.
            (Some(_) | None, _) if argument.min.is_some() || argument.max.is_some() => {
                ArgumentKind::Number
            }
            (Some(_), _) => ArgumentKind::Text,
            (None, None) => ArgumentKind::Number,
        };
        let unit = argument.unit.as_deref();
        Self {
            name: argument.name.clone(),
            kind,
            unit: unit.map(|unit| fleet::display::shorten(unit, 12)),
            least: argument.min,
            most: argument.max,
            default,
        }
    }
}

/// Whether a command's name says that it interrupts the device or destroys something. Devices of old
/// announce nothing but names.
pub fn is_destructive(name: &str) -> bool {
    const WORDS: [&str; 10] = [
        "reboot", "restart", "reset", "shutdown", "poweroff", "erase", "wipe", "format", "factory",
        "delete",
    ];
    let mut words = name.split(|c: char| !c.is_alphanumeric());
    words.any(|word| WORDS.iter().any(|known| known.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::fleet::Scalar;

    fn argument() -> Argument {
        Argument {
            name: "target".to_owned(),
            kind: None,
            unit: None,
            min: None,
            max: None,
            default: None,
        }
    }

    #[test]
    fn what_a_device_marks_and_what_reboots_is_destructive() {
        let view = |name, destructive| {
            CommandView::new(&KnownCommand {
                name,
                destructive,
                arguments: &[],
            })
        };
        assert!(view("OPEN_VALVE", true).destructive);
        for name in ["REBOOT", "factory_reset", "Erase flash"] {
            assert!(view(name, false).destructive, "{name}");
        }
        for name in ["PING", "SET_INTERVAL", "PRESET_ON", "INFORMATION", ""] {
            assert!(!view(name, false).destructive, "{name}");
        }
    }

    #[test]
    fn an_argument_is_what_the_device_says() {
        let announced = Argument {
            kind: Some("integer".to_owned()),
            unit: Some("°C".to_owned()),
            min: Some(-30.0),
            max: Some(-10.0),
            default: Some(Scalar::Number(-18.0)),
            ..argument()
        };
        let view = ArgumentView::new(&announced);
        assert_eq!(
            (view.kind, view.unit.as_deref(), view.default.as_deref()),
            (ArgumentKind::Integer, Some("°C"), Some("-18"))
        );
        assert_eq!((view.least, view.most), (Some(-30.0), Some(-10.0)));
    }

    #[test]
    fn what_it_does_not_say_is_guessed_from_the_rest() {
        let kind = |argument: Argument| ArgumentView::new(&argument).kind;
        assert_eq!(kind(argument()), ArgumentKind::Number);
        let default = |default| Argument {
            default: Some(default),
            ..argument()
        };
        assert_eq!(kind(default(Scalar::Bool(true))), ArgumentKind::Boolean);
        assert_eq!(kind(default(Scalar::Text("a".into()))), ArgumentKind::Text);
        let odd = Argument {
            kind: Some("colour".to_owned()),
            ..argument()
        };
        assert_eq!(kind(odd), ArgumentKind::Text);
    }
}
