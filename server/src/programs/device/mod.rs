//! `beaconry device`: simulated devices that sleep, as the founding documents describe them.
//!
//! A device is awake for some seconds of each period. While it sleeps, the broker keeps its commands. It
//! subscribes before it signs in, so no command is lost. Its will signs it out if it vanishes, and it signs in
//! again as soon as it is back. SIGINT and SIGTERM let it sign out itself, also while it sleeps, and so does a
//! reader of its output who goes.
//!
//! [`settings`] reads the command line, [`schedule`] knows when a device is awake, both without a socket or
//! a clock. [`life`] connects one device, and [`report`] tells what happens. [`tcp`] is the documents' first
//! device, which speaks JSON over plain TCP.

mod life;
mod report;
mod schedule;
mod settings;
mod tcp;

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use self::life::Life;
use self::report::Report;
pub(crate) use self::settings::DeviceArgs;
use self::settings::Settings;
use super::ending::Ending;
use super::environment::Environment;
use super::exit::Exit;
use crate::clock::Clock;

/// So many devices connect at the same time.
const CONNECTING: usize = 200;

/// Runs the devices until a signal comes, until nobody reads what they print, or until none of them can go on.
pub(crate) fn run(args: &DeviceArgs) -> Exit {
    let settings = Environment::load().and_then(|all| Settings::new(args, &all));
    let settings = match settings {
        Ok(settings) => settings,
        Err(why) => {
            eprintln!("beaconry: {why}; see beaconry device --help");
            return Exit::Usage;
        }
    };
    for warning in &settings.connection.warnings {
        eprintln!("beaconry: {warning}");
    }
    if settings.count > 1 {
        crate::platform::raise_open_files();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => LocalSet::new().block_on(&runtime, run_all(settings)),
        Err(error) => {
            eprintln!("beaconry: cannot start: {error}");
            Exit::Failed
        }
    }
}

async fn run_all(settings: Settings) -> Exit {
    let mut ending = match Ending::new() {
        Ok(ending) => ending,
        Err(error) => {
            eprintln!("beaconry: cannot catch signals: {error}");
            return Exit::Failed;
        }
    };
    if let Some(address) = &settings.tcp {
        return tcp::run(address, &settings, &mut ending).await;
    }
    let (stop, stopping) = watch::channel(false);
    let report = Rc::new(Report::new(&settings));
    let connecting = Rc::new(Semaphore::new(CONNECTING));
    let settings = Rc::new(settings);
    let (clock, began) = (Clock::new(), Instant::now());
    let mut lives = JoinSet::new();
    for index in 0..settings.count {
        let device = match settings.device(index) {
            Ok(device) => device,
            Err(why) => {
                eprintln!("beaconry: {why}; see beaconry device --help");
                return Exit::Usage;
            }
        };
        let life = Life {
            device,
            settings: Rc::clone(&settings),
            report: Rc::clone(&report),
            connecting: Rc::clone(&connecting),
            clock,
            began,
            // Spread over a period, so that not all wake at the same time.
            first: began + settings.schedule.every / settings.count * index,
            stopping: stopping.clone(),
            has_signed_in: false,
        };
        lives.spawn_local(life.run());
    }
    drop(stopping);
    report.begin();
    tokio::select! {
        exit = all_ended(&mut lives) => return exit,
        never = report.tell_progress() => match never {},
        () = report.closed() => {}
        _ = ending.wait() => {}
    }
    stop.send_replace(true);
    let exit = ending.unless_again(async {
        tokio::select! {
            exit = all_ended(&mut lives) => exit,
            never = report.tell_progress() => match never {},
        }
    });
    let exit = exit.await.unwrap_or(Exit::Failed);
    report.end();
    exit
}

/// Waits until every device has ended. The worst end counts.
async fn all_ended(lives: &mut JoinSet<Exit>) -> Exit {
    let mut worst = Exit::Success;
    while let Some(ended) = lives.join_next().await {
        let exit = ended.unwrap_or(Exit::Failed);
        if exit != Exit::Success {
            worst = exit;
        }
    }
    worst
}

/// How long a device waits for the broker before it gives up signing out.
const SIGN_OUT_PATIENCE: Duration = Duration::from_secs(10);
