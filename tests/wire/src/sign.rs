//! Signature Version 4, as Amazon's documentation for S3 has it ("Signature Calculations for the
//! Authorization Header", "Authenticating Requests: Using Query Parameters").

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::macros::format_description;

/// Where every request of the tests is signed for.
const REGION: &str = "us-east-1";

/// An access key at a moment.
#[derive(Clone, Debug)]
pub struct Signer {
    /// The access key's id.
    pub access_key: String,
    /// Its secret.
    pub secret: String,
    /// As in `20261122T210135Z`.
    pub date: String,
}

/// The present as signatures have it: `20261122T210135Z`.
pub fn now() -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let now = OffsetDateTime::now_utc().format(format);
    now.expect("the present has a date")
}

impl Signer {
    /// `20261122/us-east-1/s3/aws4_request`.
    pub fn scope(&self) -> String {
        format!("{}/{REGION}/s3/aws4_request", &self.date[..8])
    }

    /// The signature of a request. `path` and `query` are as they are sent, the query's pairs sorted;
    /// `signed` are the signed headers in order of name; `payload` is what `x-amz-content-sha256` says.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        query: &str,
        signed: &[(String, String)],
        payload: &str,
    ) -> String {
        let headers: String = signed
            .iter()
            .map(|(name, value)| format!("{name}:{}\n", value.trim()))
            .collect();
        let canonical = format!(
            "{method}\n{path}\n{query}\n{headers}\n{}\n{payload}",
            names(signed)
        );
        self.text("AWS4-HMAC-SHA256", &[&sha256(canonical.as_bytes())])
    }

    /// The signature of a text of this kind: its date and scope, then `lines`.
    pub(crate) fn text(&self, kind: &str, lines: &[&str]) -> String {
        let text = format!(
            "{kind}\n{}\n{}\n{}",
            self.date,
            self.scope(),
            lines.join("\n")
        );
        let secret = format!("AWS4{}", self.secret);
        let mut key = hmac(secret.as_bytes(), &self.date.as_bytes()[..8]);
        for part in [REGION, "s3", "aws4_request"] {
            key = hmac(&key, part.as_bytes());
        }
        hex::encode(hmac(&key, text.as_bytes()))
    }
}

/// The names of signed headers as `SignedHeaders` lists them.
pub(crate) fn names(signed: &[(String, String)]) -> String {
    let names: Vec<&str> = signed.iter().map(|(name, _)| name.as_str()).collect();
    names.join(";")
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// The key of Amazon's examples.
    pub(crate) fn example() -> Signer {
        Signer {
            access_key: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            date: "20130524T000000Z".into(),
        }
    }

    pub(crate) fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    /// Requests are signed as Amazon signs them.
    /// Method: the published examples: GET of a range, PUT, a sub-resource, a listing, a presigned GET.
    #[test]
    fn the_published_examples() {
        let host = ("host", "examplebucket.s3.amazonaws.com");
        let date = ("x-amz-date", "20130524T000000Z");
        let empty = ("x-amz-content-sha256", NOTHING);
        let welcome = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
        let presigned = "X-Amz-Algorithm=AWS4-HMAC-SHA256\
            &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
            &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host";
        for (method, path, query, signed, payload, signature) in [
            (
                "GET",
                "/test.txt",
                "",
                vec![host, ("range", "bytes=0-9"), empty, date],
                NOTHING,
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                "PUT",
                "/test%24file.text",
                "",
                vec![
                    ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                    host,
                    ("x-amz-content-sha256", welcome),
                    date,
                    ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
                ],
                welcome,
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
            (
                "GET",
                "/",
                "lifecycle=",
                vec![host, empty, date],
                NOTHING,
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                "GET",
                "/",
                "max-keys=2&prefix=J",
                vec![host, empty, date],
                NOTHING,
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
            (
                "GET",
                "/test.txt",
                presigned,
                vec![host],
                "UNSIGNED-PAYLOAD",
                "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
            ),
        ] {
            let made = example().request(method, path, query, &headers(&signed), payload);
            assert_eq!(made, signature, "{method} {path}?{query}");
        }
        assert_eq!(sha256(b"Welcome to Amazon S3."), welcome);
        assert_eq!(sha256(b""), NOTHING);
    }
}
