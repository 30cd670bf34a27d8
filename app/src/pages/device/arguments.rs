//! A command with arguments: a field for each, as the device announced them.

use leptos::ev::SubmitEvent;
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

use super::json::{self, Json};
use crate::components::connection::sentence;
use crate::state::{ArgumentKind, ArgumentView, CommandView};

/// The fields, and the button that sends. `send` gets the command as JSON.
#[component]
pub fn ArgumentForm<S>(
    /// The command.
    command: CommandView,
    /// Which of the device's forms this is: elements' ids are made of it.
    number: usize,
    /// Sends it, or asks first.
    send: S,
) -> impl IntoView
where
    S: Fn(String) + Copy + 'static,
{
    let form = NodeRef::<html::Form>::new();
    let problem = RwSignal::new(None::<Problem>);
    let id = format!("command-{}", command.name);
    let problem_id = format!("command-problem-{number}");
    let shown = fleet::display::shorten(&command.name, 32);
    let fields = command
        .arguments
        .iter()
        .enumerate()
        .map(|(index, argument)| {
            let wrong = Signal::derive(move || {
                problem.with(|problem| {
                    problem
                        .as_ref()
                        .is_some_and(|problem| problem.index == index)
                })
            });
            field(&command.name, argument, wrong, &problem_id)
        });
    let fields = fields.collect_view();
    let CommandView {
        name,
        arguments,
        destructive: asks,
    } = command;
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some(form) = form.get_untracked() else {
            return;
        };
        match request(&name, &arguments, &typed(&form, &arguments)) {
            Ok(request) => {
                problem.set(None);
                send(request);
            }
            Err(wrong) => {
                focus(&form, wrong.index);
                problem.set(Some(wrong));
            }
        }
    };
    view! {
        <form class="command-form" node_ref=form on:submit=submit on:input=move |_| problem.set(None) novalidate>
            {fields}
            <button
                type="submit"
                class="button"
                aria-haspopup=asks.then_some("dialog")
                data-testid=id
            >
                <bdi class="command-name">{shown}</bdi>
                {asks.then_some("…")}
            </button>
            <p
                id=problem_id
                class="field-error"
                role="alert"
                hidden=move || problem.with(Option::is_none)
            >
                {move || problem.with(|problem| problem.as_ref().map(|it| sentence(&it.why)))}
            </p>
        </form>
    }
}

/// Gives the focus to the form's field of this number.
fn focus(form: &web_sys::HtmlFormElement, index: usize) {
    let field = u32::try_from(index)
        .ok()
        .and_then(|index| form.get_with_index(index));
    if let Some(field) = field.and_then(|field| field.dyn_into::<web_sys::HtmlElement>().ok()) {
        // This fails only if the field is no longer in the document.
        let _ = field.focus();
    }
}

/// An argument's field. While what stands in it is `wrong`, the element of `problem_id` says why.
fn field(command: &str, argument: &ArgumentView, wrong: Signal<bool>, problem_id: &str) -> AnyView {
    let label = fleet::display::shorten(&argument.name, 32);
    let id = format!("command-{command}-{}", argument.name);
    let spoken = format!("{command}: {}", hint(argument));
    let tip = hint(argument);
    let initial = argument.default.clone().unwrap_or_default();
    let unit = argument.unit.clone();
    let problem_id = problem_id.to_owned();
    let described = move || wrong.get().then(|| problem_id.clone());
    let input = match argument.kind {
        ArgumentKind::Boolean => view! {
            <select class="input" name=argument.name.clone() aria-label=spoken data-testid=id>
                <option value="true" selected=initial == "true">
                    "on"
                </option>
                <option value="false" selected=initial != "true">
                    "off"
                </option>
            </select>
        }
        .into_any(),
        ArgumentKind::Number | ArgumentKind::Integer | ArgumentKind::Text => view! {
            <input
                class="input"
                class:wide=argument.kind == ArgumentKind::Text
                name=argument.name.clone()
                inputmode=if argument.kind == ArgumentKind::Text { "text" } else { "decimal" }
                autocomplete="off"
                value=initial
                aria-label=spoken
                aria-invalid=move || wrong.get().to_string()
                aria-describedby=described
                data-testid=id
            />
        }
        .into_any(),
    };
    view! {
        <label class="command-argument" title=tip>
            <bdi class="label">{label}</bdi>
            {input}
            {unit.map(|unit| view! { <bdi class="unit">{unit}</bdi> })}
        </label>
    }
    .into_any()
}

/// What was typed into the form, for each argument.
fn typed(form: &web_sys::HtmlFormElement, arguments: &[ArgumentView]) -> Vec<String> {
    let Ok(data) = web_sys::FormData::new_with_form(form) else {
        return Vec::new();
    };
    let value = |argument: &ArgumentView| data.get(&argument.name).as_string();
    arguments
        .iter()
        .map(|argument| value(argument).unwrap_or_default())
        .collect()
}

/// `seconds, from 0.1 to 3600 s`
fn hint(argument: &ArgumentView) -> String {
    let unit = argument.unit.as_deref();
    let unit = unit.map(|unit| format!(" {unit}")).unwrap_or_default();
    let mut name = fleet::display::shorten(&argument.name, 32);
    if argument.kind == ArgumentKind::Integer {
        name.push_str(", a whole number");
    }
    match (&argument.least, &argument.most) {
        (Some(least), Some(most)) => format!("{name}, from {least} to {most}{unit}"),
        (Some(least), None) => format!("{name}, at least {least}{unit}"),
        (None, Some(most)) => format!("{name}, at most {most}{unit}"),
        (None, None) if unit.is_empty() => name,
        (None, None) => format!("{name}, in{unit}"),
    }
}

/// Why a form cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    /// The number of the field.
    index: usize,
    /// What to write there, for people.
    why: String,
}

/// The command as JSON, or what is wrong with what was typed.
fn request(name: &str, arguments: &[ArgumentView], typed: &[String]) -> Result<String, Problem> {
    let mut members = Vec::new();
    for (index, argument) in arguments.iter().enumerate() {
        let typed = typed.get(index).map(String::as_str);
        let value = value(argument, typed.unwrap_or_default());
        let value = value.map_err(|why| Problem { index, why })?;
        members.push((argument.name.as_str(), value));
    }
    Ok(json::command(name, &members))
}

fn value(argument: &ArgumentView, typed: &str) -> Result<Json, String> {
    match argument.kind {
        // Blanks may mean something to the device.
        ArgumentKind::Text => Ok(Json::Text(typed.to_owned())),
        ArgumentKind::Boolean => Ok(Json::Bool(typed == "true")),
        ArgumentKind::Number | ArgumentKind::Integer => {
            let typed = typed.trim();
            let whole = argument.kind == ArgumentKind::Integer;
            let Some((text, size)) = number(typed, whole) else {
                let mut why = format!("give {}", hint(argument));
                if typed.bytes().any(|byte| byte.is_ascii_digit()) {
                    why.push_str(if whole {
                        ". Write digits only"
                    } else {
                        ". Write a point before decimals, and nothing between thousands"
                    });
                }
                return Err(why);
            };
            let least = argument.least.is_none_or(|least| size >= least);
            let most = argument.most.is_none_or(|most| size <= most);
            if least && most {
                Ok(Json::Number(text))
            } else {
                Err(format!("give {}", hint(argument)))
            }
        }
    }
}

/// A number as JSON writes it, with all its digits, and its size for comparing. `None` if it is not
/// clear which number is meant.
fn number(typed: &str, whole: bool) -> Option<(String, f64)> {
    // Half of the world writes a comma before decimals, the other half between thousands.
    let text = match typed.split_once(',') {
        Some((before, after)) if after.len() != 3 || matches!(before, "" | "0" | "-0") => {
            format!("{before}.{after}")
        }
        Some(_) => return None,
        None => typed.to_owned(),
    };
    let size = fleet::number_of(&text)?;
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.trim_start_matches('+')),
    };
    if whole && !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (before, after) = digits.split_once('.').unwrap_or((digits, ""));
    // JSON wants a digit before the point, no zeros before that, and a digit behind the point.
    let before = before.trim_start_matches('0');
    let zero = if begins_with_digit(before) { "" } else { "0" };
    let point = if begins_with_digit(after) { "." } else { "" };
    Some((format!("{sign}{zero}{before}{point}{after}"), size))
}

fn begins_with_digit(text: &str) -> bool {
    text.bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument(name: &str, kind: ArgumentKind) -> ArgumentView {
        ArgumentView {
            name: name.to_owned(),
            kind,
            unit: None,
            least: None,
            most: None,
            default: None,
        }
    }

    fn seconds() -> ArgumentView {
        ArgumentView {
            unit: Some("s".to_owned()),
            least: Some(0.5),
            most: Some(3_600.0),
            ..argument("seconds", ArgumentKind::Number)
        }
    }

    #[test]
    fn a_request_has_a_member_for_each_argument() {
        let arguments = [
            seconds(),
            argument("mode \"x\"", ArgumentKind::Text),
            argument("fast", ArgumentKind::Boolean),
            argument("times", ArgumentKind::Integer),
        ];
        let typed = ["2,5", " a\\b ", "true", "3"].map(str::to_owned);
        assert_eq!(
            request("SET", &arguments, &typed).as_deref(),
            Ok(r#"{"command":"SET","seconds":2.5,"mode \"x\"":" a\\b ","fast":true,"times":3}"#),
            "blanks are the device's"
        );
    }

    #[test]
    fn a_number_is_sent_with_the_digits_that_were_typed() {
        for (typed, sent) in [
            ("9007199254740993", "9007199254740993"),
            ("-12345678901234567890", "-12345678901234567890"),
            (" +007 ", "7"),
            ("0", "0"),
        ] {
            let value = value(&argument("n", ArgumentKind::Integer), typed);
            assert_eq!(value, Ok(Json::Number(sent.to_owned())), "{typed}");
        }
        for (typed, sent) in [
            ("0.1000000000000000055", "0.1000000000000000055"),
            ("-.5", "-0.5"),
            ("5.", "5"),
            ("1.5E+3", "1.5E+3"),
            ("5.e2", "5e2"),
            ("0e2", "0e2"),
            ("00", "0"),
            ("60,5", "60.5"),
            ("-0,125", "-0.125"),
            ("1000,5", "1000.5"),
        ] {
            let value = value(&argument("n", ArgumentKind::Number), typed);
            assert_eq!(value, Ok(Json::Number(sent.to_owned())), "{typed}");
        }
    }

    #[test]
    fn a_number_that_can_be_read_in_two_ways_is_not_sent() {
        let refused = |kind, typed: &str| value(&argument("n", kind), typed).unwrap_err();
        for typed in [
            "1,000",
            "-12,500",
            "1,000,000",
            "1 000",
            "1.000,5",
            "1'000",
            "1_000",
        ] {
            assert_eq!(
                refused(ArgumentKind::Number, typed),
                "give n. Write a point before decimals, and nothing between thousands",
                "{typed}"
            );
        }
        for typed in ["1,000", "1.000", "1e3", "2,0", "1.5"] {
            assert_eq!(
                refused(ArgumentKind::Integer, typed),
                "give n, a whole number. Write digits only",
                "{typed}"
            );
        }
    }

    #[test]
    fn a_problem_names_its_field() {
        let arguments = [argument("a", ArgumentKind::Text), seconds()];
        let typed = ["", "0"].map(str::to_owned);
        let problem = request("SET", &arguments, &typed).unwrap_err();
        assert_eq!(problem.index, 1);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        for typed in ["", "x", "0", "3601", "inf", "NaN", "-"] {
            let why = "give seconds, from 0.5 to 3600 s";
            assert_eq!(value(&seconds(), typed), Err(why.to_owned()), "{typed}");
        }
        assert!(value(&seconds(), "1e999").is_err());
    }

    #[test]
    fn a_hint_says_what_is_known() {
        assert_eq!(hint(&argument("a", ArgumentKind::Number)), "a");
        let at_least = ArgumentView {
            most: None,
            ..seconds()
        };
        assert_eq!(hint(&at_least), "seconds, at least 0.5 s");
        let unbounded = ArgumentView {
            least: None,
            ..at_least
        };
        assert_eq!(hint(&unbounded), "seconds, in s");
    }
}
