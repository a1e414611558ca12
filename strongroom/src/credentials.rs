//! The first access key: random, made at first start, kept in the AWS ini format so that every AWS tool
//! reads it. There are no default credentials.

use crate::files::{self, Access};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;

/// An access key and its secret.
pub(crate) struct Credentials {
    /// 20 characters, as AWS's are.
    pub(crate) access_key: String,
    /// 40 characters.
    pub(crate) secret_key: String,
}

/// Reads `path`, or makes it with random credentials, readable by its owner alone.
pub(crate) fn load_or_make(path: &Path) -> Result<Credentials> {
    if path.exists() {
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        return parse(&text).with_context(|| format!("in {}", path.display()));
    }
    let credentials = Credentials {
        access_key: format!(
            "SR{}",
            random_text::<18>(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")?
        ),
        secret_key: random_text::<40>(
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-",
        )?,
    };
    let text = format!(
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        credentials.access_key, credentials.secret_key
    );
    files::write(path, text.as_bytes(), Access::Private)?;
    Ok(credentials)
}

fn parse(text: &str) -> Result<Credentials> {
    let value = |name: &str| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    };
    match (value("aws_access_key_id"), value("aws_secret_access_key")) {
        (Some(access_key), Some(secret_key))
            if !access_key.is_empty() && !secret_key.is_empty() =>
        {
            Ok(Credentials {
                access_key,
                secret_key,
            })
        }
        _ => bail!("expected aws_access_key_id and aws_secret_access_key"),
    }
}

/// `N` characters drawn evenly from an alphabet whose size divides 256.
fn random_text<const N: usize>(alphabet: &[u8]) -> Result<String> {
    assert!(
        256 % alphabet.len() == 0,
        "each character is equally likely"
    );
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(std::io::Error::other)
        .context("drawing random bytes")?;
    Ok(bytes
        .iter()
        .map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()]))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was made is what is read back, and two clusters never share credentials.
    #[test]
    fn credentials_are_random_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let made = load_or_make(&path).unwrap();
        let read = load_or_make(&path).unwrap();
        assert_eq!((made.access_key.len(), made.secret_key.len()), (20, 40));
        assert_eq!(
            (&made.access_key, &made.secret_key),
            (&read.access_key, &read.secret_key)
        );
        let other = load_or_make(&folder.path().join("other")).unwrap();
        assert_ne!(made.secret_key, other.secret_key);
    }

    #[test]
    fn half_a_file_is_refused() {
        for text in [
            "",
            "[default]\naws_access_key_id = A\n",
            "aws_secret_access_key =\naws_access_key_id = A",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
