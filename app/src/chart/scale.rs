//! How much of the value axis is shown.

/// The lowest and the highest value that a drawing shows.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Span {
    /// The span of a trend line through these values: at least what matters for the unit, so that
    /// noise does not look like a storm. `None` without a value.
    pub(super) fn of_trend(values: &[f64], unit: Option<&str>) -> Option<Self> {
        let span = Self::around(values.iter().copied())?;
        Some(span.at_least(least(unit, span), unit))
    }

    /// The span of a chart's axis: percentages have their whole scale, and other readings some air
    /// above and below.
    pub(super) fn of_axis(readings: impl Iterator<Item = f64>, unit: Option<&str>) -> Self {
        let Some(read) = Self::around(readings) else {
            return Self::WITHOUT_READINGS;
        };
        let is_percent = unit == Some("%") && read.low >= 0.0 && read.high <= 100.0;
        if is_percent {
            return Self::PERCENT;
        }
        let span = read.at_least(least(unit, read), unit);
        let air = (span.high - span.low) * 0.08;
        Self {
            low: beside_zero(span.low, span.low - air),
            high: beside_zero(span.high, span.high + air),
        }
    }

    /// The span of so many lanes, each one unit high.
    pub(super) fn of_lanes(lanes: usize) -> Self {
        Self {
            low: 0.0,
            high: f64::from(u16::try_from(lanes).unwrap_or(u16::MAX)).max(1.0),
        }
    }

    const PERCENT: Self = Self {
        low: 0.0,
        high: 100.0,
    };
    const WITHOUT_READINGS: Self = Self {
        low: 0.0,
        high: 1.0,
    };

    /// Whether it stands on zero. An area down to any other base would exaggerate.
    pub(super) fn stands_on_zero(self) -> bool {
        self.low == 0.0
    }

    /// Where a value is between the lowest (0) and the highest (1).
    pub(super) fn share(self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    fn around(values: impl Iterator<Item = f64>) -> Option<Self> {
        values
            .filter(|value| value.is_finite())
            .fold(None, |span, value| {
                let Self { low, high } = span.unwrap_or(Self {
                    low: value,
                    high: value,
                });
                Some(Self {
                    low: low.min(value),
                    high: high.max(value),
                })
            })
    }

    /// The same middle, and at least this wide. It crosses neither zero nor the ends of the
    /// percentages if the values do not.
    fn at_least(self, least: f64, unit: Option<&str>) -> Self {
        let missing = least - (self.high - self.low);
        if missing <= 0.0 {
            return self;
        }
        let (mut low, mut high) = (self.low - missing / 2.0, self.high + missing / 2.0);
        if self.low >= 0.0 && low < 0.0 {
            (low, high) = (0.0, high - low);
        }
        if self.high <= 0.0 && high > 0.0 && self.low < 0.0 {
            (low, high) = (low - high, 0.0);
        }
        if unit == Some("%") && self.high <= 100.0 && high > 100.0 {
            (low, high) = (low - (high - 100.0), 100.0);
        }
        Self { low, high }
    }
}

/// `wanted`, but on the same side of zero as `value`.
fn beside_zero(value: f64, wanted: f64) -> f64 {
    if value * wanted <= 0.0 { 0.0 } else { wanted }
}

/// The least span for a unit: what people would call a change.
fn least(unit: Option<&str>, read: Span) -> f64 {
    let known = match unit {
        Some("°C" | "K") => 2.0,
        Some("°F" | "hPa" | "dB" | "dBm" | "dBA") => 4.0,
        Some("%") => 5.0,
        Some("V") => 1.0,
        Some("W") => 10.0,
        Some("lx") => 20.0,
        Some("ppm" | "rpm") => 50.0,
        Some(_) | None => 0.0,
    };
    // A fiftieth of the value is little for every quantity. All zeros have a span too.
    let size = read.low.abs().max(read.high.abs());
    let relative = if size > 0.0 { size / 50.0 } else { 1.0 };
    if known > 0.0 { known } else { relative }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // Computed from short decimals, and the same each time.
mod tests {
    use super::*;

    fn span(low: f64, high: f64) -> Span {
        Span { low, high }
    }

    fn trend(values: &[f64], unit: &str) -> Span {
        Span::of_trend(values, Some(unit)).unwrap()
    }

    fn axis(values: &[f64], unit: Option<&str>) -> Span {
        Span::of_axis(values.iter().copied(), unit)
    }

    #[test]
    fn a_trend_has_the_least_span_of_its_unit() {
        assert_eq!(trend(&[20.9, 21.1], "°C"), span(20.0, 22.0));
        assert_eq!(trend(&[40.0], "%"), span(37.5, 42.5));
        assert_eq!(trend(&[15.0, 25.0], "°C"), span(15.0, 25.0));
        assert_eq!(Span::of_trend(&[100.0], None), Some(span(99.0, 101.0)));
        assert_eq!(Span::of_trend(&[], None), None);
        assert_eq!(Span::of_trend(&[f64::NAN], None), None);
    }

    #[test]
    fn a_least_span_crosses_neither_zero_nor_the_ends_of_percentages() {
        assert_eq!(trend(&[0.0], "%"), span(0.0, 5.0));
        assert_eq!(trend(&[1.0], "%"), span(0.0, 5.0));
        assert_eq!(trend(&[99.0, 100.0], "%"), span(95.0, 100.0));
        assert_eq!(trend(&[-0.5], "°C"), span(-2.0, 0.0));
        assert_eq!(trend(&[-1.0, 1.5], "°C"), span(-1.0, 1.5));
    }

    #[test]
    fn the_axis_of_percentages_ends_at_0_and_100() {
        assert_eq!(axis(&[97.0, 99.0], Some("%")), span(0.0, 100.0));
        let beyond = axis(&[50.0, 120.0], Some("%"));
        assert!(beyond.low > 40.0 && beyond.high > 120.0);
    }

    #[test]
    fn zeros_have_an_axis_of_their_own() {
        assert_eq!(axis(&[0.0, 0.0], None), span(0.0, 1.08));
        assert_eq!(axis(&[], None), span(0.0, 1.0));
        assert!(axis(&[0.0, 0.0], None).stands_on_zero());
    }

    #[test]
    fn readings_have_air_around_them_but_not_beyond_zero() {
        assert_eq!(axis(&[10.0, 20.0], Some("A")), span(9.2, 20.8));
        assert_eq!(axis(&[0.1, 10.0], Some("A")).low, 0.0);
        assert_eq!(axis(&[-10.0, -0.1], Some("A")).high, 0.0);
        assert!(!axis(&[20.0, 22.0], Some("°C")).stands_on_zero());
    }

    #[test]
    fn a_place_is_a_share_of_the_span() {
        assert_eq!(span(10.0, 20.0).share(15.0), 0.5);
    }
}
