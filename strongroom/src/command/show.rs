//! How commands show things to people.

use time::OffsetDateTime;
use types::Label;
use types::size::KIB;
use types::wire::metadata::WallTime;

/// Columns as wide as their widest cell, two spaces apart; the first row is the heading.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A time to the minute, in UTC.
pub(crate) fn date(at: WallTime) -> String {
    let seconds = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(at) => format!("{} {:02}:{:02} UTC", at.date(), at.hour(), at.minute()),
        Err(_) => "?".to_owned(),
    }
}

/// A number of bytes to a tenth of the unit that suits it.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut shown = bytes as f64;
    let mut unit = None;
    for name in units {
        if shown < KIB as f64 {
            break;
        }
        shown /= KIB as f64;
        unit = Some(name);
    }
    match unit {
        Some(unit) => format!("{shown:.1} {unit}"),
        None => format!("{bytes} B"),
    }
}

/// A label by its numbers, until its catalogue has names for them.
pub(crate) fn label(label: &Label) -> String {
    let list = |ids: &std::collections::BTreeSet<u32>| {
        let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
        ids.join(",")
    };
    let mut text = format!("level {}", label.level);
    if !label.compartments.is_empty() {
        text += &format!(" compartments {}", list(&label.compartments));
    }
    if !label.releasability.is_empty() {
        text += &format!(" released to {}", list(&label.releasability));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_shown() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let shown = table(&[row(["name", "x"]), row(["a", "long"])]);
        assert_eq!(shown, "name  x\na     long");
        assert_eq!(date(WallTime(784_111_777_500)), "1994-11-06 08:49 UTC");
        let secret = Label {
            level: 2,
            compartments: [3, 5].into(),
            releasability: [7].into(),
        };
        assert_eq!(label(&secret), "level 2 compartments 3,5 released to 7");
        assert_eq!(label(&Label::default()), "level 0");
        let sizes = [0, 1023, 1024, 1 << 20, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "16.0 EiB"]);
    }
}
