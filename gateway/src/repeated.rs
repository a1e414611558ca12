//! User metadata that comes in several headers of one name is one value, joined by commas, as on S3.
//!
//! s3s refuses such a request. The signature stays good: what is signed of several headers is the same
//! joined value.

use http::header::Entry;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Joins the values of each `x-amz-meta-*` header.
pub(crate) fn join(headers: &mut HeaderMap) {
    let several = |name: &&HeaderName| {
        name.as_str().starts_with("x-amz-meta-") && headers.get_all(*name).iter().nth(1).is_some()
    };
    let several: Vec<HeaderName> = headers.keys().filter(several).cloned().collect();
    for name in several {
        if let Entry::Occupied(values) = headers.entry(name) {
            let (name, values) = values.remove_entry_mult();
            let joined = values.map(|value| value.as_bytes().trim_ascii().to_vec());
            let joined = joined.collect::<Vec<_>>().join(&b","[..]);
            let joined = HeaderValue::from_bytes(&joined).expect("values and commas");
            headers.insert(name, joined);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Metadata of one name becomes one value, in the order sent; other headers stay as they are.
    /// Method: repeated headers of both kinds.
    #[test]
    fn metadata_is_joined() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-amz-meta-a", "1"),
            ("if-match", "\"x\""),
            ("x-amz-meta-b", "only"),
            ("x-amz-meta-a", "2,3"),
            ("if-match", "\"y\""),
            ("x-amz-meta-a", ""),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        join(&mut headers);
        let all = |name: &str| headers.get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(all("x-amz-meta-a"), ["1,2,3,"]);
        assert_eq!(all("x-amz-meta-b"), ["only"]);
        assert_eq!(all("if-match"), ["\"x\"", "\"y\""]);
    }
}
