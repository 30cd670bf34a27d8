//! Names of metrics as people read them: `power_w` in watts is “Power”.

use super::sort;

/// The names of a device's metrics, given their ids and units, in the same order. Metrics that would
/// share a name keep their ids.
pub fn of_metrics<'a>(metrics: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Vec<String> {
    let (ids, mut names): (Vec<&str>, Vec<String>) =
        metrics.map(|(id, unit)| (id, of_metric(id, unit))).unzip();
    let order = sort::order(names.len(), &mut |a, b| names[a].cmp(&names[b]));
    let shared: Vec<usize> = order
        .chunk_by(|a, b| names[*a] == names[*b])
        .filter(|same| same.len() > 1)
        .flatten()
        .copied()
        .collect();
    for index in shared {
        names[index] = shown(ids[index]);
    }
    names
}

/// A name made of an id. What is no row of English-like words (`DS18B20.Temperature`, `温度`) stays
/// as it is.
pub fn of_metric(id: &str, unit: Option<&str>) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if id.is_empty() || id.len() > 60 || !id.bytes().all(is_plain) {
        return shown(id);
    }
    let mut kept = words(id);
    if kept.len() > 1
        && let (Some(last), Some(unit)) = (kept.last(), unit)
        && means(last, unit)
    {
        kept.pop();
    }
    let mut name = String::with_capacity(id.len());
    for word in kept {
        if !name.is_empty() {
            name.push(' ');
        }
        match known(word) {
            Some(known) => name.push_str(known),
            // A word in capitals is a word that the device writes so.
            None if word.bytes().all(|byte| !byte.is_ascii_lowercase()) => name.push_str(word),
            None => name.push_str(&word.to_ascii_lowercase()),
        }
    }
    // `pH` keeps its small letter.
    let begins_as_written = words(id).first().is_some_and(|word| known(word).is_some());
    if !begins_as_written && let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    if name.is_empty() { shown(id) } else { name }
}

fn shown(id: &str) -> String {
    if id.is_empty() {
        return "(no name)".to_owned();
    }
    fleet::display::shorten(id, 60)
}

/// Splits at `_` and `-`, and where a capital follows a small letter.
fn words(id: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for part in id.split(['_', '-']).filter(|part| !part.is_empty()) {
        let bytes = part.as_bytes();
        let mut start = 0;
        for at in 1..bytes.len() {
            if bytes[at - 1].is_ascii_lowercase() && bytes[at].is_ascii_uppercase() {
                words.push(&part[start..at]);
                start = at;
            }
        }
        words.push(&part[start..]);
    }
    words
}

/// Words that have a spelling of their own.
fn known(word: &str) -> Option<&'static str> {
    const KNOWN: [&str; 14] = [
        "CO₂", "RSSI", "VOC", "pH", "CPU", "ID", "IP", "UV", "AC", "DC", "RAM", "LED", "PM10",
        "PM2.5",
    ];
    let plain = |known: &str| known.replace('₂', "2").replace('.', "");
    KNOWN
        .into_iter()
        .find(|known| plain(known).eq_ignore_ascii_case(word))
}

/// Whether the last word of an id only says the unit.
fn means(word: &str, unit: &str) -> bool {
    const ALIASES: [(&str, &str); 15] = [
        ("c", "°C"),
        ("celsius", "°C"),
        ("f", "°F"),
        ("fahrenheit", "°F"),
        ("pct", "%"),
        ("percent", "%"),
        ("lux", "lx"),
        ("mbar", "hPa"),
        ("lpm", "L/min"),
        ("m3", "m³"),
        ("deg", "°"),
        ("watt", "W"),
        ("watts", "W"),
        ("volt", "V"),
        ("volts", "V"),
    ];
    word.eq_ignore_ascii_case(unit)
        || ALIASES
            .iter()
            .any(|(alias, symbol)| *symbol == unit && alias.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_repeats_its_unit_becomes_a_name() {
        for (id, unit, name) in [
            ("power_w", Some("W"), "Power"),
            ("pressure_hpa", Some("hPa"), "Pressure"),
            ("humidity_pct", Some("%"), "Humidity"),
            ("temp_c", Some("°C"), "Temp"),
            ("outdoorTempC", Some("°C"), "Outdoor temp"),
            ("flowLpm", Some("L/min"), "Flow"),
            ("w", Some("W"), "W"),
            ("temp_target", Some("°C"), "Temp target"),
            ("co2", Some("ppm"), "CO₂"),
            ("rssi", Some("dBm"), "RSSI"),
            ("pm25", None, "PM2.5"),
            ("POWER", None, "POWER"),
            ("on", None, "On"),
        ] {
            assert_eq!(of_metric(id, unit), name, "{id}");
        }
    }

    #[test]
    fn what_is_no_row_of_words_stays_as_it_is() {
        for id in ["DS18B20.Temperature", "温度", "<b>x</b>", "accel.x", "a b"] {
            assert_eq!(of_metric(id, None), id);
        }
        assert_eq!(of_metric("", None), "(no name)");
        assert_eq!(of_metric("___", None), "___");
        assert_eq!(of_metric("a\u{202e}b", None), "a‹202e›b");
    }

    #[test]
    fn two_metrics_never_share_a_name() {
        let names =
            of_metrics([("temp", Some("°C")), ("temp_c", Some("°C")), ("hum", None)].into_iter());
        assert_eq!(names, ["temp", "temp_c", "Hum"]);
    }
}
