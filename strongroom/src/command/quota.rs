//! Usage and quotas, as `bucket` and `tenant` show and take them.

use super::show::size;
use types::ByteCount;
use types::size::{GIB, KIB, MIB};
use types::wire::usage::{Count, Limit, Quota, QuotaChange, Usage};

/// What is to be limited.
#[derive(clap::Args)]
#[group(required = true, multiple = true)]
pub(super) struct Change {
    /// So many bytes at most, of objects and of uploads under way: a number, also with KiB, MiB, GiB, TiB or PiB; or
    /// none
    #[arg(long, value_name = "N", value_parser = bytes)]
    bytes: Option<Limit>,
    /// So many objects at most, each version one; or none
    #[arg(long, value_name = "N", value_parser = objects)]
    objects: Option<Limit>,
    /// No limit at all
    #[arg(long, conflicts_with_all = ["bytes", "objects"])]
    none: bool,
}

impl Change {
    /// As it is asked for: what is not named stays.
    pub(super) fn asked(&self) -> QuotaChange {
        let unnamed = if self.none {
            Limit::Unlimited
        } else {
            Limit::Keep
        };
        QuotaChange {
            bytes: self.bytes.unwrap_or(unnamed),
            objects: self.objects.unwrap_or(unnamed),
        }
    }
}

/// A quota in few words.
pub(super) fn shown(quota: &Quota) -> String {
    let bytes = quota.bytes.map(|most| ByteCount::new(most).to_string());
    let objects = quota.objects.map(|most| format!("{most} objects"));
    let limits: Vec<String> = bytes.into_iter().chain(objects).collect();
    match limits.is_empty() {
        true => "none".to_owned(),
        false => limits.join(", "),
    }
}

/// Objects and bytes in few words.
pub(super) fn brief(usage: &Count) -> [String; 2] {
    match usage {
        Count::Counted(used) => [used.objects.to_string(), size(used.held_bytes())],
        _ => ["counting", ""].map(str::to_owned),
    }
}

/// All of usage, a row each.
pub(super) fn rows(usage: &Count) -> Vec<Vec<String>> {
    let Count::Counted(used) = usage else {
        return vec![row("objects", "counting")];
    };
    let Usage {
        objects,
        versions,
        delete_markers,
        bytes,
        uploads,
        upload_bytes,
    } = *used;
    let counted = |name, count: u64| row(name, &count.to_string());
    let measured = |name, bytes| row(name, &format!("{bytes} ({})", size(bytes)));
    vec![
        counted("objects", objects),
        counted("versions", versions),
        counted("delete markers", delete_markers),
        measured("bytes", bytes),
        counted("uploads", uploads),
        measured("upload bytes", upload_bytes),
    ]
}

/// A name and a value.
pub(super) fn row(name: &str, value: &str) -> Vec<String> {
    vec![name.to_owned(), value.to_owned()]
}

/// No limit.
const NONE: &str = "none";

fn bytes(text: &str) -> Result<Limit, String> {
    let units = [
        ("KiB", KIB),
        ("MiB", MIB),
        ("GiB", GIB),
        ("TiB", GIB * KIB),
        ("PiB", GIB * MIB),
    ];
    let unit = units.iter().find_map(|(name, unit)| {
        let number = text.strip_suffix(name)?.trim_end();
        // Only of a number: there is no unit of none.
        (number != NONE).then_some((number, *unit))
    });
    let (number, unit) = unit.unwrap_or((text, 1));
    let most = |number: u64| number.checked_mul(unit);
    limit(number, most).ok_or_else(|| {
        "a number of bytes, also with KiB, MiB, GiB, TiB or PiB behind it; or none".to_owned()
    })
}

fn objects(text: &str) -> Result<Limit, String> {
    limit(text, Some).ok_or_else(|| "a number of objects, or none".to_owned())
}

fn limit(text: &str, most: impl Fn(u64) -> Option<u64>) -> Option<Limit> {
    if text == NONE {
        return Some(Limit::Unlimited);
    }
    // `parse` would take a sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.and_then(most).map(Limit::AtMost)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written is what is meant, or is refused.
    /// Method: a table of texts.
    #[test]
    fn limits_are_read() {
        for (text, meant) in [
            ("0", Some(Limit::AtMost(0))),
            ("1024", Some(Limit::AtMost(1024))),
            ("1KiB", Some(Limit::AtMost(1024))),
            ("10 GiB", Some(Limit::AtMost(10 << 30))),
            ("3TiB", Some(Limit::AtMost(3 << 40))),
            ("2PiB", Some(Limit::AtMost(2 << 50))),
            ("none", Some(Limit::Unlimited)),
            ("", None),
            ("+1", None),
            ("-1", None),
            ("1.5GiB", None),
            ("10GB", None),
            ("noneKiB", None),
            ("99999999PiB", None),
        ] {
            assert_eq!(bytes(text).ok(), meant, "{text:?}");
        }
        assert_eq!(objects("7"), Ok(Limit::AtMost(7)));
        assert_eq!(objects("none"), Ok(Limit::Unlimited));
        assert!(objects("7KiB").is_err());
    }

    /// Quotas and usage are shown so that nothing is left out and nothing made up.
    #[test]
    fn quotas_are_shown() {
        let quota = |bytes, objects| shown(&Quota { bytes, objects });
        assert_eq!(quota(None, None), "none");
        assert_eq!(quota(Some(10 << 30), None), "10 GiB");
        assert_eq!(quota(Some(5), Some(7)), "5 B, 7 objects");
        assert_eq!(brief(&Count::Counting)[0], "counting");
        let used = Usage {
            objects: 2,
            bytes: 1 << 20,
            upload_bytes: 1 << 19,
            ..Usage::default()
        };
        assert_eq!(brief(&Count::Counted(used)), ["2", "1.5 MiB"]);
        assert_eq!(
            rows(&Count::Counted(used))[3],
            ["bytes", "1048576 (1.0 MiB)"]
        );
    }
}
