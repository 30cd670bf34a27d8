//! What devices mean: conventions turn messages into presence, telemetry and commands.
