//! What was measured: a table for people, JSON for programs.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use serde_json::json;

/// The figures of all scenarios, each with a value from every round.
#[derive(Default)]
pub(crate) struct Report {
    figures: BTreeMap<(String, String), Figure>,
    order: Vec<(String, String)>,
}

#[derive(Default)]
struct Figure {
    unit: &'static str,
    values: Vec<f64>,
    ratios: Vec<f64>,
    /// What the ratio is to.
    beside: &'static str,
    target: Option<Target>,
}

impl Figure {
    fn ratio(&self) -> Option<[f64; 3]> {
        (!self.ratios.is_empty()).then(|| spread(&self.ratios))
    }
}

/// What a ratio has to be.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(least) => ratio >= least,
            Self::AtMost(most) => ratio <= most,
        }
    }

    fn told(self) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {least}"),
            Self::AtMost(most) => format!("≤ {most}"),
        }
    }
}

impl Report {
    /// A figure that stands for itself.
    pub(crate) fn add(&mut self, case: &str, figure: &str, unit: &'static str, value: f64) {
        self.figure(case, figure, unit).values.push(value);
    }

    /// A figure beside what bounds it, measured in the same round.
    pub(crate) fn add_beside(
        &mut self,
        (case, figure, unit): (&str, &str, &'static str),
        value: f64,
        (limit, beside): (f64, &'static str),
        target: Option<Target>,
    ) {
        let entry = self.figure(case, figure, unit);
        entry.values.push(value);
        entry.ratios.push(value / limit);
        (entry.beside, entry.target) = (beside, target);
    }

    fn figure(&mut self, case: &str, figure: &str, unit: &'static str) -> &mut Figure {
        let key = (case.to_owned(), figure.to_owned());
        if !self.figures.contains_key(&key) {
            self.order.push(key.clone());
        }
        let entry = self.figures.entry(key).or_default();
        entry.unit = unit;
        entry
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The table, on standard output.
    pub(crate) fn print(&self) {
        println!("\n{:<34} {:<32} {:>14} {:>18}  ratio", "case", "figure", "median", "min – max");
        for key in &self.order {
            let figure = &self.figures[key];
            let [low, middle, high] = spread(&figure.values);
            let ratio = figure.ratio().map_or(String::new(), |[_, ratio, _]| {
                let verdict = match figure.target {
                    None => String::new(),
                    Some(target) if target.is_met(ratio) => format!(" ({}: met)", target.told()),
                    Some(target) => format!(" ({}: NOT met)", target.told()),
                };
                format!("{ratio:.2} × {}{verdict}", figure.beside)
            });
            println!(
                "{:<34} {:<32} {:>14} {:>18}  {ratio}",
                key.0,
                format!("{} [{}]", key.1, figure.unit),
                number(middle),
                format!("{} – {}", number(low), number(high)),
            );
        }
    }

    /// The same for programs.
    pub(crate) fn write(&self, path: &Path) {
        let rows: Vec<_> = self
            .order
            .iter()
            .map(|key| {
                let figure = &self.figures[key];
                let [low, middle, high] = spread(&figure.values);
                let ratio = figure.ratio().map(|[low, middle, high]| {
                    json!({"to": figure.beside, "median": middle, "min": low, "max": high,
                        "target": figure.target.map(Target::told),
                        "met": figure.target.map(|target| target.is_met(middle))})
                });
                json!({"case": key.0, "figure": key.1, "unit": figure.unit,
                    "median": middle, "min": low, "max": high, "rounds": figure.values, "ratio": ratio})
            })
            .collect();
        let mut file = std::fs::File::create(path).unwrap();
        writeln!(file, "{}", serde_json::to_string_pretty(&rows).unwrap()).unwrap();
    }
}

fn spread(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    [sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1]]
}

fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 1000.0 => {
            let digits = format!("{value:.0}");
            let grouped: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
            grouped.iter().map(|group| String::from_utf8_lossy(group)).collect::<Vec<_>>().join(",")
        }
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
