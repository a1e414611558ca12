//! Repairs on the XML that s3s writes.
//!
//! XML cannot carry most control characters, and a parser reads a carriage return as a line feed:
//! another key. S3 sends them as character references, `&#13;`. s3s can write neither: it refuses a
//! document with a control character, and escapes the ampersand of a reference. So they are *hidden*
//! from it behind a token that nobody can guess, and *restored* in the finished document. Nor does
//! s3s know a request's id, or write what else an error tells.

use bytes::Bytes;
use std::sync::LazyLock;

/// Whether a document ends with its root element and holds no NUL: s3s's reader does not look. Other control
/// characters, which XML has not either, pass: SDKs send them as they are in the keys that they delete.
pub(crate) fn is_strict(document: &[u8]) -> bool {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let last = document.iter().rfind(|byte| !blank(byte));
    last == Some(&b'>') && !document.contains(&0)
}

/// What stands for a control character while s3s writes: this, two hexadecimal digits.
static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let mut token = [0; 16];
    getrandom::fill(&mut token).expect("the system has randomness");
    hex::encode(token)
});

/// `text` for a document that [`restore`] will see.
pub(crate) fn hide(text: String) -> String {
    let hidden = |c: char| c < ' ' && c != '\t' && c != '\n';
    if !text.contains(hidden) {
        return text;
    }
    let mut shown = String::with_capacity(text.len() + 64);
    for c in text.chars() {
        if hidden(c) {
            shown.push_str(&TOKEN);
            shown.push_str(&format!("{:02x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A finished document with what was hidden as character references.
pub(crate) fn restore(document: Bytes) -> Bytes {
    let Ok(text) = std::str::from_utf8(&document) else {
        return document;
    };
    let mut pieces = text.split(TOKEN.as_str());
    let first = pieces.next().unwrap_or_default();
    if first.len() == text.len() {
        return document;
    }
    let mut restored = String::from(first);
    for piece in pieces {
        let (code, rest) = piece.split_at(2);
        restored.push_str("&#x");
        restored.push_str(code);
        restored.push(';');
        restored.push_str(rest);
    }
    restored.into()
}

/// An `<Error>` document with these elements as its last ones. Other documents stay as they are.
pub(crate) fn tell(document: Bytes, elements: &[(&str, &str)]) -> Bytes {
    const END: &[u8] = b"</Error>";
    let Some(head) = document.strip_suffix(END) else {
        return document;
    };
    let mut told = head.to_vec();
    for (name, text) in elements {
        let text = escape(text);
        told.extend_from_slice(format!("<{name}>{text}</{name}>").as_bytes());
    }
    told.extend_from_slice(END);
    told.into()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Control characters of a key reach the client as themselves.
    /// Method: hide each text, look that s3s would accept it, restore.
    #[test]
    fn controls_become_references() {
        for (raw, escaped) in [
            ("", ""),
            ("a b\n\tä", "a b\n\tä"),
            ("\r", "&#x0d;"),
            ("a\r\nb", "a&#x0d;\nb"),
            ("\u{1}ä\u{1f}\u{0}", "&#x01;ä&#x1f;&#x00;"),
        ] {
            let hidden = hide(raw.to_owned());
            assert!(!hidden.contains(|c: char| c < ' ' && c != '\t' && c != '\n'));
            assert_eq!(restore(hidden.into()), Bytes::from(escaped));
        }
    }

    /// Text behind the root and NULs are found; blanks are none.
    /// Method: a table.
    #[test]
    fn strictness() {
        for (document, strict) in [
            ("<a>b</a>", true),
            ("<a>\tb\r\n</a> \r\n\t", true),
            ("<a>&#13;</a>", true),
            ("<a>b</a>c", false),
            ("<a>\0</a>", false),
            ("<a>\u{1b}</a>", true),
            ("", false),
        ] {
            assert_eq!(is_strict(document.as_bytes()), strict, "{document:?}");
        }
    }

    /// An error tells more, whatever the text; nothing else is touched.
    /// Method: one of each.
    #[test]
    fn errors_tell_more() {
        let error = Bytes::from("<Error><Code>X</Code></Error>");
        let more = [("Range", "<&>"), ("RequestId", "17")];
        let told =
            "<Error><Code>X</Code><Range>&lt;&amp;&gt;</Range><RequestId>17</RequestId></Error>";
        assert_eq!(tell(error, &more), Bytes::from(told));
        let other = Bytes::from("<ListBucketResult></ListBucketResult>");
        assert_eq!(tell(other.clone(), &more), other);
    }
}
