//! Several measurements of one thing as one figure, and when two figures differ.

/// The middle of several measurements, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

/// What became of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The two could be of one thing.
    Noise,
    More,
    Less,
}

/// Below this nobody would notice, however steady the machine is.
const NOTICED: f64 = 0.02;

impl Figure {
    /// None of no measurement.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self {
            median,
            least,
            most,
        })
    }

    /// Beyond noise is a difference of medians that exceeds half of both spreads together: the middles of what
    /// was seen lie farther apart than either reaches.
    pub(crate) fn change_to(self, new: Self) -> Change {
        let noise = f64::midpoint(self.most - self.least, new.most - new.least);
        let by = new.median - self.median;
        if by.abs() <= noise.max(self.median.abs() * NOTICED) {
            Change::Noise
        } else if by > 0.0 {
            Change::More
        } else {
            Change::Less
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Figure {
        Figure::of(values.iter().copied()).expect("some values")
    }

    #[test]
    fn the_median_is_the_middle() {
        let odd = of(&[3.0, 1.0, 2.0]);
        assert_eq!((odd.least, odd.median, odd.most), (1.0, 2.0, 3.0));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Figure::of([]), None);
    }

    /// A change counts when it exceeds what either run saw by itself, and can be noticed at all.
    #[test]
    fn noise_is_no_change() {
        let old = of(&[9.0, 10.0, 11.0]);
        for (new, change) in [
            (of(&[10.0, 11.0, 12.0]), Change::Noise),
            (of(&[7.5, 8.0, 8.1]), Change::Less),
            (of(&[12.4, 12.5, 12.6]), Change::More),
            (of(&[5.0, 8.0, 11.0]), Change::Noise),
        ] {
            assert_eq!(old.change_to(new), change, "{new:?}");
        }
        assert_eq!(of(&[10.0]).change_to(of(&[10.1])), Change::Noise);
        assert_eq!(of(&[10.0]).change_to(of(&[9.5])), Change::Less);
    }
}
