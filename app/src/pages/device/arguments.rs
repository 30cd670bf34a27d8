//! A command with arguments: a field for each, as the device announced them.

use leptos::ev::SubmitEvent;
use leptos::html;
use leptos::prelude::*;

use super::json::{self, Json};
use crate::components::connection::sentence;
use crate::state::{ArgumentKind, ArgumentView, CommandView};

/// The fields, and the button that sends. `send` gets the command as JSON.
#[component]
pub fn ArgumentForm<S>(
    /// The command.
    command: CommandView,
    /// Sends it, or asks first.
    send: S,
) -> impl IntoView
where
    S: Fn(String) + Copy + 'static,
{
    let form = NodeRef::<html::Form>::new();
    let problem = RwSignal::new(None::<String>);
    let id = format!("command-{}", command.name);
    let CommandView {
        name, arguments, ..
    } = command;
    let shown = fleet::display::shorten(&name, 32);
    let fields = arguments
        .iter()
        .map(|argument| field(&name, argument))
        .collect_view();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let typed = form.get_untracked().map(|form| typed(&form, &arguments));
        match request(&name, &arguments, &typed.unwrap_or_default()) {
            Ok(request) => {
                problem.set(None);
                send(request);
            }
            Err(why) => problem.set(Some(sentence(&why))),
        }
    };
    view! {
        <form class="command-form" node_ref=form on:submit=submit novalidate>
            {fields}
            <button type="submit" class="button" data-testid=id>
                <bdi class="command-name">{shown}</bdi>
            </button>
            <p class="field-error" role="alert" hidden=move || problem.with(Option::is_none)>
                {move || problem.get()}
            </p>
        </form>
    }
}

fn field(command: &str, argument: &ArgumentView) -> AnyView {
    let label = fleet::display::shorten(&argument.name, 32);
    let id = format!("command-{command}-{}", argument.name);
    let spoken = format!("{command}: {}", hint(argument));
    let tip = hint(argument);
    let initial = argument.default.clone().unwrap_or_default();
    let unit = argument.unit.clone();
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
    let name = fleet::display::shorten(&argument.name, 32);
    match (&argument.least, &argument.most) {
        (Some(least), Some(most)) => format!("{name}, from {least} to {most}{unit}"),
        (Some(least), None) => format!("{name}, at least {least}{unit}"),
        (None, Some(most)) => format!("{name}, at most {most}{unit}"),
        (None, None) if unit.is_empty() => name,
        (None, None) => format!("{name}, in{unit}"),
    }
}

/// The command as JSON, or what is wrong with what was typed.
fn request(name: &str, arguments: &[ArgumentView], typed: &[String]) -> Result<String, String> {
    let mut members = Vec::new();
    for (index, argument) in arguments.iter().enumerate() {
        let typed = typed.get(index).map(|typed| typed.trim());
        let value = value(argument, typed.unwrap_or_default())?;
        members.push((argument.name.as_str(), value));
    }
    Ok(json::command(name, &members))
}

fn value(argument: &ArgumentView, typed: &str) -> Result<Json, String> {
    let wrong = || Err(format!("give {}", hint(argument)));
    match argument.kind {
        ArgumentKind::Text => Ok(Json::Text(typed.to_owned())),
        ArgumentKind::Boolean => Ok(Json::Bool(typed == "true")),
        ArgumentKind::Number | ArgumentKind::Integer => {
            // Half of the world writes a comma.
            let Ok(number) = typed.replace(',', ".").parse::<f64>() else {
                return wrong();
            };
            let whole = argument.kind != ArgumentKind::Integer || number.fract() == 0.0;
            let least = argument.least.is_none_or(|least| number >= least);
            let most = argument.most.is_none_or(|most| number <= most);
            if number.is_finite() && whole && least && most {
                Ok(Json::Number(number))
            } else {
                wrong()
            }
        }
    }
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
        let typed = ["2,5", "a\\b", "true", "3"].map(str::to_owned);
        assert_eq!(
            request("SET", &arguments, &typed).as_deref(),
            Ok(r#"{"command":"SET","seconds":2.5,"mode \"x\"":"a\\b","fast":true,"times":3}"#)
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        for typed in ["", "x", "0", "3601", "1e999", "NaN"] {
            let refused = request("SET", &[seconds()], &[typed.to_owned()]);
            let why = "give seconds, from 0.5 to 3600 s";
            assert_eq!(
                refused.as_ref().map_err(String::as_str),
                Err(why),
                "{typed}"
            );
        }
        let whole = [argument("n", ArgumentKind::Integer)];
        assert!(request("SET", &whole, &["1.5".to_owned()]).is_err());
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
