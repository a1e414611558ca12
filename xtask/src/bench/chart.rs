//! A run as a picture: bars by case, one for each server, with the spread as a line.

use super::figure::Figure;
use super::rows::{Case, Kind};
use super::run::Run;
use super::table;
use anyhow::Result;
use std::fmt::Write;

/// In pixels.
const LABEL: f64 = 330.0;
const WIDTH: f64 = 900.0;
const BAR: f64 = 13.0;
const GAP: f64 = 12.0;
const TOP: f64 = 52.0;
/// Room for the figure behind the longest bar.
const BEHIND: f64 = 60.0;
const COLOURS: [&str; 5] = ["#1f5fa8", "#b9bec5", "#5a9e56", "#c98a2b", "#8b5ea8"];

/// SVG, readable on a light page and on a dark one.
pub(crate) fn of(run: &Run) -> Result<String> {
    let servers = table::servers(run);
    let drawn = |case: &Case| {
        let kinds = [
            Kind::Get,
            Kind::Ranges,
            Kind::GetSmall,
            Kind::Put,
            Kind::Parts,
            Kind::PutSmall,
        ];
        kinds.contains(&case.row.kind) && case.cache != "warm" && run.cases.contains_key(&case.id())
    };
    let cases: Vec<Case> = Case::all().filter(drawn).collect();
    let bars = |case: &Case| -> Vec<(usize, Figure)> {
        let found = servers.iter().enumerate();
        found
            .filter_map(|(index, server)| Some((index, run.speed(&case.id(), server)?)))
            .collect()
    };
    let most = cases.iter().flat_map(bars).map(|(_, figure)| figure.most);
    let scale = (WIDTH - LABEL - BEHIND) / most.fold(0.1, f64::max);
    let mut body = String::new();
    let mut y = TOP;
    for case in &cases {
        let bars = bars(case);
        let middle = y + BAR * bars.len() as f64 / 2.0 + 4.0;
        let title = format!("{}, {} {}", case.row.title, case.scheme, case.cache);
        let at = LABEL - 10.0;
        writeln!(
            body,
            r#"<text x="{at}" y="{middle:.1}" text-anchor="end">{}</text>"#,
            title.trim()
        )?;
        for (index, figure) in bars {
            let end = LABEL + figure.median * scale;
            let (width, colour) = (figure.median * scale, COLOURS[index % COLOURS.len()]);
            let (from, to) = (LABEL + figure.least * scale, LABEL + figure.most * scale);
            let (centre, below, behind) = (y + BAR / 2.0, y + BAR - 3.0, to.max(end) + 5.0);
            let height = BAR - 2.0;
            writeln!(
                body,
                r#"<rect x="{LABEL}" y="{y:.1}" width="{width:.1}" height="{height}" fill="{colour}"/>
<line x1="{from:.1}" x2="{to:.1}" y1="{centre:.1}" y2="{centre:.1}"/>
<text x="{behind:.1}" y="{below:.1}" class="figure">{:.2}</text>"#,
                figure.median
            )?;
            y += BAR;
        }
        y += GAP;
    }
    let mut head = String::new();
    for (index, server) in servers.iter().enumerate() {
        let x = LABEL + 120.0 * index as f64;
        let colour = COLOURS[index % COLOURS.len()];
        writeln!(
            head,
            r#"<rect x="{x}" y="18" width="11" height="11" fill="{colour}"/><text x="{}" y="28">{server}</text>"#,
            x + 16.0
        )?;
    }
    Ok(format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:.0}" font-family="sans-serif" font-size="12">
<style>text {{ fill: #444 }} .figure {{ font-size: 10px }} line {{ stroke: #d0342c }}
@media (prefers-color-scheme: dark) {{ text {{ fill: #ccc }} }}</style>
<text x="10" y="28">GB/s, more is better</text>
{head}{body}</svg>
"##
    ))
}
