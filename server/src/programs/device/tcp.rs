//! `beaconry device --tcp ADDR`: the founding documents' device that speaks JSON over plain TCP.
//!
//! It signs up, sends a reading every few seconds, and answers commands. The server may be `beaconry serve
//! --tcp-gateway` or the documents' own. If the connection is lost, it comes back by itself.

use std::io;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use super::report::{Report, Step};
use super::settings::Settings;
use crate::demo::device::Device;
use crate::gateway::Framer;
use crate::programs::ending::Ending;
use crate::programs::exit::Exit;

/// The longest pause before the next attempt.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The largest command.
const LARGEST: usize = 256 * 1024;

/// Runs the device until a signal comes, or until nobody reads what it prints.
pub(super) async fn run(address: &str, settings: &Settings, ending: &mut Ending) -> Exit {
    let report = Report::new(settings);
    let mut device = match settings.device(0) {
        Ok(device) => device,
        Err(why) => {
            eprintln!("beaconry: {why}; see beaconry device --help");
            return Exit::Usage;
        }
    };
    let began = Instant::now();
    let mut failures = 0;
    loop {
        report.say(&format!("WILL CONNECT TO {address}"));
        let ended = tokio::select! {
            ended = live(address, settings, &report, &mut device, began, &mut failures) => ended,
            _ = ending.wait() => return Exit::Success,
            () = report.closed() => return Exit::Success,
        };
        report.note_left();
        let pause = Duration::from_secs(1 << u32::min(failures, 5)).min(LONGEST_PAUSE);
        failures += 1;
        let why = match ended {
            Ok(why) => why,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                format!("{address}: connection refused; does a server for plain TCP run there?")
            }
            Err(error) => format!("{address}: {error}"),
        };
        let pause_shown = humantime::format_duration(pause);
        let why = format!("{why}; it tries again in {pause_shown}");
        report.tell(device.id(), Step::Trouble(&why));
        tokio::select! {
            () = sleep(pause) => {}
            _ = ending.wait() => return Exit::Success,
            () = report.closed() => return Exit::Success,
        }
    }
}

/// One connection. Returns why it is over.
async fn live(
    address: &str,
    settings: &Settings,
    report: &Report,
    device: &mut Device,
    began: Instant,
    failures: &mut u32,
) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    report.say("CONNECTED TO SERVER");
    report.note_connected();
    let sign_up = json!({ "deviceId": device.id(), "messageType": "SIGNUP" });
    stream.write_all(sign_up.to_string().as_bytes()).await?;
    let mut framer = Framer::new(LARGEST);
    let mut bytes = vec![0; 16 * 1024];
    let mut next = Instant::now() + settings.schedule.every;
    loop {
        tokio::select! {
            count = stream.read(&mut bytes) => {
                let count = count?;
                if count == 0 {
                    return Ok(format!("{address}: the server closed the connection"));
                }
                framer.push(&bytes[..count]);
                loop {
                    match framer.next() {
                        Ok(None) => break,
                        Ok(Some(object)) => {
                            if let Some(why) = refusal(&object) {
                                return Ok(format!("{address}: the server says: {why}"));
                            }
                            let answer = answer(report, device, &object);
                            stream.write_all(answer.as_bytes()).await?;
                        }
                        Err(error) => return Ok(format!("{address}: the server's bytes are no commands: {error}")),
                    }
                }
            }
            () = sleep_until(next) => {
                // The connection has lasted, so the next one is tried soon.
                *failures = 0;
                next += settings.schedule.every;
                device.advance(began.elapsed());
                let data = device.data().payload;
                report.tell(device.id(), Step::Data(&data));
                stream.write_all(&data).await?;
            }
        }
    }
}

/// What `--tcp-gateway` says before it closes a connection.
fn refusal(object: &str) -> Option<String> {
    let object: serde_json::Value = serde_json::from_str(object).ok()?;
    if object.get("command").is_some() {
        return None;
    }
    Some(object.get("error")?.as_str()?.to_owned())
}

fn answer(report: &Report, device: &mut Device, command: &str) -> String {
    report.tell(device.id(), Step::Command(command.as_bytes()));
    let answer = device.answer(command);
    report.tell(device.id(), Step::Answer(answer.as_bytes()));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_from_a_command() {
        let said = |text: &str| refusal(text);
        assert_eq!(said(r#"{"error":"no"}"#).as_deref(), Some("no"));
        assert_eq!(said(r#"{"command":"PING","error":"x"}"#), None);
        assert_eq!(said(r#"{"command":"PING"}"#), None);
    }
}
