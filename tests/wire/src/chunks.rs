//! Bodies in aws-chunks whose signatures follow from that of the request.

use crate::sign::{Signer, sha256};

/// A body with the signatures of its chunks.
pub struct Signed {
    /// As it is sent.
    pub body: Vec<u8>,
    /// Of each chunk, the empty last one included.
    pub signatures: Vec<String>,
}

/// Signs `pieces`, and the empty piece that ends them; `seed` is the request's signature.
pub fn signed_chunks(signer: &Signer, seed: &str, pieces: &[&[u8]]) -> Signed {
    let mut signed = chunks(signer, seed, pieces);
    signed.body.extend(b"\r\n");
    signed
}

/// The same with a trailer, which is signed after the last chunk.
pub fn signed_trailer(
    signer: &Signer,
    seed: &str,
    pieces: &[&[u8]],
    (name, value): (&str, &str),
) -> Signed {
    let mut signed = chunks(signer, seed, pieces);
    let last = signed.signatures.last().cloned().unwrap_or_default();
    let hash = sha256(format!("{name}:{value}\n").as_bytes());
    let signature = signer.text("AWS4-HMAC-SHA256-TRAILER", &[&last, &hash]);
    let trailer = format!("{name}:{value}\r\nx-amz-trailer-signature:{signature}\r\n\r\n");
    signed.body.extend(trailer.bytes());
    signed.signatures.push(signature);
    signed
}

/// Up to the line of the empty chunk.
fn chunks(signer: &Signer, seed: &str, pieces: &[&[u8]]) -> Signed {
    let nothing = sha256(b"");
    let mut last = seed.to_owned();
    let mut signed = Signed {
        body: Vec::new(),
        signatures: Vec::new(),
    };
    for piece in pieces.iter().copied().chain([&b""[..]]) {
        let lines = [last.as_str(), nothing.as_str(), &sha256(piece)];
        last = signer.text("AWS4-HMAC-SHA256-PAYLOAD", &lines);
        let head = format!("{:x};chunk-signature={last}\r\n", piece.len());
        signed.body.extend(head.bytes());
        signed.body.extend(piece);
        if !piece.is_empty() {
            signed.body.extend(b"\r\n");
        }
        signed.signatures.push(last.clone());
    }
    signed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::tests::{example, headers};

    /// Chunks are signed as Amazon signs them.
    /// Method: the published examples, 65 536 and 1 024 times `a`, without and with a trailer.
    #[test]
    fn the_published_examples() {
        let body = vec![b'a'; 66_560];
        let pieces = [&body[..65_536], &body[65_536..]];
        let signer = example();
        let path = "/examplebucket/chunkObject.txt";
        let stream = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
        let signed = headers(&[
            ("content-encoding", "aws-chunked"),
            ("content-length", "66824"),
            ("host", "s3.amazonaws.com"),
            ("x-amz-content-sha256", stream),
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-decoded-content-length", "66560"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ]);
        let seed = signer.request("PUT", path, "", &signed, stream);
        assert_eq!(
            seed,
            "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
        );
        let chunked = signed_chunks(&signer, &seed, &pieces);
        assert_eq!(chunked.body.len(), 66_824);
        assert_eq!(
            chunked.signatures,
            [
                "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
                "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
                "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
            ]
        );
        let stream = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
        let signed = headers(&[
            ("content-encoding", "aws-chunked"),
            ("host", "s3.amazonaws.com"),
            ("x-amz-content-sha256", stream),
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-decoded-content-length", "66560"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("x-amz-trailer", "x-amz-checksum-crc32c"),
        ]);
        let seed = signer.request("PUT", path, "", &signed, stream);
        assert_eq!(
            seed,
            "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
        );
        let trailer = ("x-amz-checksum-crc32c", "sOO8/Q==");
        let chunked = signed_trailer(&signer, &seed, &pieces, trailer);
        assert_eq!(
            chunked.signatures,
            [
                "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
                "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
                "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
                "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435",
            ]
        );
    }
}
