//! Units and quantities, as far as names and texts tell them.

/// A unit's symbol, from what people write for it.
pub(crate) fn symbol(text: &str) -> Option<&'static str> {
    // The text is longer than any known unit.
    if text.len() > 16 {
        return None;
    }
    // Where case matters (mW and MW), exact comes first.
    let exact = SYMBOLS.iter().find(|(written, _)| *written == text);
    let found = exact.or_else(|| {
        SYMBOLS
            .iter()
            .find(|(written, _)| written.len() > 1 && written.eq_ignore_ascii_case(text))
    });
    found.map(|(_, symbol)| *symbol)
}

#[rustfmt::skip]
const SYMBOLS: &[(&str, &str)] = &[
    ("°C", "°C"), ("C", "°C"), ("celsius", "°C"), ("degC", "°C"), ("℃", "°C"),
    ("°F", "°F"), ("F", "°F"), ("fahrenheit", "°F"), ("degF", "°F"),
    ("K", "K"), ("kelvin", "K"),
    ("%", "%"), ("percent", "%"), ("pct", "%"), ("%RH", "%"),
    ("Pa", "Pa"), ("hPa", "hPa"), ("kPa", "kPa"), ("mbar", "hPa"), ("bar", "bar"), ("psi", "psi"),
    ("mW", "mW"), ("W", "W"), ("watt", "W"), ("watts", "W"), ("kW", "kW"), ("MW", "MW"),
    ("Wh", "Wh"), ("kWh", "kWh"), ("MWh", "MWh"), ("VA", "VA"), ("var", "var"),
    ("V", "V"), ("volt", "V"), ("volts", "V"), ("mV", "mV"),
    ("A", "A"), ("amp", "A"), ("amps", "A"), ("mA", "mA"), ("Hz", "Hz"), ("kHz", "kHz"), ("MHz", "MHz"),
    ("m/s", "m/s"), ("km/h", "km/h"), ("kmh", "km/h"), ("mph", "mph"), ("rpm", "rpm"),
    ("mm", "mm"), ("cm", "cm"), ("m", "m"), ("km", "km"),
    ("l", "L"), ("L", "L"), ("liter", "L"), ("liters", "L"), ("m3", "m³"), ("m³", "m³"),
    ("L/min", "L/min"), ("lpm", "L/min"), ("m3/h", "m³/h"), ("m³/h", "m³/h"),
    ("g", "g"), ("kg", "kg"), ("lx", "lx"), ("lux", "lx"), ("ppm", "ppm"), ("ppb", "ppb"),
    ("µg/m³", "µg/m³"), ("ug/m3", "µg/m³"), ("dB", "dB"), ("dBm", "dBm"), ("dBA", "dBA"),
    ("ms", "ms"), ("s", "s"), ("sec", "s"), ("min", "min"), ("h", "h"), ("°", "°"), ("deg", "°"),
    ("W/m2", "W/m²"), ("W/m²", "W/m²"), ("mm/h", "mm/h"), ("pH", "pH"), ("Ω", "Ω"), ("ohm", "Ω"),
];

/// Words that name a quantity, with the unit it is almost always in. Only temperature, humidity
/// and battery charge are assumed; a pressure may be in anything.
#[rustfmt::skip]
const QUANTITIES: &[(&str, Option<&str>)] = &[
    ("temperature", Some("°C")), ("temp", Some("°C")), ("dewpoint", Some("°C")),
    ("humidity", Some("%")), ("hum", Some("%")), ("battery", Some("%")), ("soc", Some("%")),
    ("pressure", None), ("power", None), ("energy", None), ("voltage", None), ("current", None),
    ("frequency", None), ("speed", None), ("level", None), ("flow", None), ("co2", Some("ppm")),
    ("illuminance", None), ("light", None), ("rssi", None), ("weight", None),
    ("distance", None), ("volume", None), ("rain", None), ("wind", None), ("moisture", None),
];

fn quantity(word: &str) -> Option<&'static (&'static str, Option<&'static str>)> {
    QUANTITIES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word))
}

/// Words beside a quantity that make it something else: `color_temp` is no temperature, `battery_ok` no
/// percentage.
const OTHER_THINGS: &[&str] = &[
    "color",
    "colour",
    "ok",
    "low",
    "state",
    "status",
    "alarm",
    "alert",
    "fault",
    "error",
    "warning",
    "raw",
    "count",
    "counter",
    "mode",
    "type",
    "code",
    "id",
    "enabled",
    "time",
    "timestamp",
    "interval",
    "age",
    "date",
    "days",
    "offset",
    "calibration",
    "trend",
    "adc",
];

/// The unit that a metric's name tells, and whether it is only assumed. A suffix (`power_kw`,
/// `temp_c`) is certain; a quantity (`temperature.setpoint`) suggests a unit.
pub(crate) fn of_name(name: &str) -> Option<(&'static str, bool)> {
    let last = name.rsplit('.').next().unwrap_or(name);
    let mut parts = words(last);
    // A unit must follow something: `m` alone is no metre.
    let _quantity = parts.next()?;
    if let Some(suffix) = parts.last()
        && let Some(unit) = suffix_unit(suffix, last)
    {
        return Some((unit, false));
    }
    let assumed = words(last).find_map(|word| quantity(word)?.1);
    // In `battery_voltage` the word `voltage` contradicts `battery`: the value is no percentage.
    let contradicted = words(last).any(|word| {
        quantity(word).is_some_and(|(_, unit)| unit.is_none()) || is_one_of(word, OTHER_THINGS)
    });
    match assumed {
        Some(unit) if !contradicted => Some((unit, true)),
        Some(_) | None => None,
    }
}

/// The unit that name and value together suggest: a signal strength below zero is in dBm. Above, it is
/// a quality in percent or anything else.
pub(crate) fn of_value(name: &str, value: f64) -> Option<&'static str> {
    let last = name.rsplit('.').next().unwrap_or(name);
    let signal = words(last).any(|word| word.eq_ignore_ascii_case("rssi"));
    (signal && (-200.0..0.0).contains(&value)).then_some("dBm")
}

/// Whether a value can be in the unit that is assumed for it.
pub(crate) fn is_plausible(unit: &str, value: f64) -> bool {
    // Most values are so, and most units are no dBm.
    if (0.0..=100.0).contains(&value) && unit.as_bytes().first() != Some(&b'd') {
        return true;
    }
    match unit {
        "°C" => (-100.0..=250.0).contains(&value),
        "%" => (0.0..=100.0).contains(&value),
        "dBm" => value <= 0.0,
        _ => true,
    }
}

/// Suffixes of one letter, with the quantities that they belong to: `rain-m` is no length.
#[rustfmt::skip]
const ONE_LETTER: &[(&str, &str, &[&str])] = &[
    ("c", "°C", TEMPERATURES),
    ("f", "°F", TEMPERATURES),
    ("k", "K", TEMPERATURES),
    ("w", "W", &["power", "load", "consumption", "production", "solar", "grid", "active", "output", "input"]),
    ("v", "V", &["voltage", "volt", "battery", "bat", "batt", "vbat", "supply", "vcc", "cell", "solar", "panel", "bus"]),
    ("a", "A", &["current", "amp", "amps"]),
    ("s", "s", &["uptime", "duration", "time", "interval", "delay", "period", "age", "elapsed", "runtime", "timeout", "latency"]),
    ("m", "m", &["distance", "height", "depth", "altitude", "alt", "elevation", "length", "range", "level", "visibility", "width"]),
    ("g", "g", &["weight", "mass"]),
    ("l", "L", &["volume", "tank", "water", "fuel", "consumption"]),
    ("h", "h", &["uptime", "duration", "runtime", "time", "hours"]),
];

const TEMPERATURES: &[&str] = &[
    "temperature",
    "temp",
    "dewpoint",
    "dew",
    "chill",
    "cpu",
    "board",
    "core",
    "ambient",
    "indoor",
    "outdoor",
    "inside",
    "outside",
    "air",
    "water",
    "soil",
    "setpoint",
];

/// The unit of a suffix of the name `whole`. Names are usually written in lower case, so short suffixes
/// are matched without regard to case where that is safe.
fn suffix_unit(word: &str, whole: &str) -> Option<&'static str> {
    let mut letters = ONE_LETTER.iter();
    if let Some((_, unit, of)) = letters.find(|(letter, ..)| letter.eq_ignore_ascii_case(word)) {
        // `temp1_c` is a temperature too.
        let bare = |word: &str| word.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let fits = words(whole).any(|word| is_one_of(word.get(..bare(word)).unwrap_or(word), of));
        return fits.then_some(*unit);
    }
    // These words are more often something other than a unit.
    let word_of_another_kind = ["min", "bar", "deg", "amp", "var"].contains(&word);
    if word_of_another_kind || word.len() < 2 {
        None
    } else {
        symbol(word)
    }
}

fn is_one_of(word: &str, known: &[&str]) -> bool {
    known.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// Words that say that a text is a name, even if it looks like a number.
const NAMES: &[&str] = &[
    "id", "uid", "uuid", "version", "ver", "firmware", "fw", "sw", "hw", "serial", "sn", "mac",
    "imei", "iccid", "imsi", "phone", "code", "zip", "model", "hash", "token", "ip", "date",
    "name", "key", "address", "addr", "build", "revision", "rev", "ssid", "hostname",
];

/// Whether the metric of this name is a name or a number of its own, like `fw_version`.
pub(crate) fn is_identifier(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    words(last).any(|word| is_one_of(word, NAMES))
}

/// The words of a name: split at ASCII that is no letter or digit, and where a capital follows a
/// small letter. (To know the letters of all scripts takes tables of kilobytes.)
pub(crate) fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && c != '%')
        .flat_map(|part| CamelWords { rest: part })
        .filter(|word| !word.is_empty())
}

struct CamelWords<'a> {
    rest: &'a str,
}

impl<'a> Iterator for CamelWords<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let bytes = self.rest.as_bytes();
        let boundary = bytes
            .windows(2)
            .position(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase());
        let end = boundary.map_or(bytes.len(), |at| at + 1);
        let (word, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_units() {
        for (name, unit) in [
            ("temp", Some(("°C", true))),
            ("temp_setpoint", Some(("°C", true))),
            ("DS18B20.Temperature", Some(("°C", true))),
            ("temp_f", Some(("°F", false))),
            ("outdoorTemp", Some(("°C", true))),
            ("power_kw", Some(("kW", false))),
            ("powerW", Some(("W", false))),
            ("humidity_pct", Some(("%", false))),
            ("battery", Some(("%", true))),
            ("battery_voltage", None),
            ("batteryVoltage", None),
            ("pressure", None),
            ("pressure_hpa", Some(("hPa", false))),
            ("m", None),
            ("temp_min", Some(("°C", true))),
            ("temp1_c", Some(("°C", false))),
            ("battery_v", Some(("V", false))),
            ("distance_m", Some(("m", false))),
            ("uptime_s", Some(("s", false))),
            // No unit beats a wrong one.
            ("color_temp", None),
            ("colorTemp", None),
            ("color_temp_k", Some(("K", false))),
            ("battery_ok", None),
            ("batteryLow", None),
            ("battery.state", None),
            ("RSSI", None),
            ("Wifi.RSSI", None),
            ("rain-m", None),
            ("sensor-m", None),
            ("relay_a", None),
            ("phase_c", None),
            ("mode_h", None),
            ("counter", None),
            ("", None),
        ] {
            assert_eq!(of_name(name), unit, "{name}");
        }
    }

    #[test]
    fn case_matters_where_it_must() {
        assert_eq!(symbol("mW"), Some("mW"));
        assert_eq!(symbol("MW"), Some("MW"));
        assert_eq!(symbol("KWH"), Some("kWh"));
        assert_eq!(symbol("doors"), None);
        assert_eq!(symbol("x"), None);
    }
}
