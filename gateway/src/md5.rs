//! Content-MD5: what the client says of its body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use s3s::{S3ErrorCode, S3Result};

/// The MD5 in a request's header, if there is one.
///
/// # Errors
/// It is not the base64 of 16 bytes.
pub(crate) fn expected(headers: &HeaderMap) -> S3Result<Option<[u8; 16]>> {
    let Some(value) = headers.get("content-md5") else {
        return Ok(None);
    };
    let bytes = STANDARD.decode(value.as_bytes()).ok();
    let digest = bytes.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    match digest {
        Some(digest) => Ok(Some(digest)),
        None => Err(S3ErrorCode::InvalidDigest.into()),
    }
}

/// Compares what was computed with what was expected.
///
/// # Errors
/// They differ.
pub(crate) fn verify(expected: Option<[u8; 16]>, computed: &[u8; 16]) -> S3Result<()> {
    if expected.is_none_or(|expected| expected == *computed) {
        Ok(())
    } else {
        Err(S3ErrorCode::BadDigest.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    /// A body that differs from its Content-MD5, or has a malformed one, is refused.
    /// Method: the MD5 of nothing, another, and malformed ones.
    #[test]
    fn content_md5_is_verified() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("content-md5", HeaderValue::from_static(value));
            expected(&headers).map_err(|error| error.code().as_str().to_owned())
        };
        let nothing = of("1B2M2Y8AsgTpgAmY7PhCfg==").expect("well-formed");
        let md5 = nothing.expect("present");
        assert!(verify(nothing, &md5).is_ok());
        assert!(verify(None, &md5).is_ok());
        assert!(verify(Some([0; 16]), &md5).is_err());
        for bad in ["", "AAAA", "not base64"] {
            assert_eq!(of(bad), Err("InvalidDigest".to_owned()));
        }
    }
}
