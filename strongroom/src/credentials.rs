//! The first access key: random, made at first start, kept in the AWS ini format so that every AWS tool
//! reads it. There are no default credentials.

use crate::files::{self, Access};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use types::wire::accounts::KeySecret;
use zeroize::Zeroizing;

/// An access key's id and its secret.
pub(crate) type Credentials = (String, KeySecret);

/// Reads `path`, or makes it with random credentials, readable by its owner alone.
pub(crate) fn load_or_make(path: &Path) -> Result<Credentials> {
    if path.exists() {
        let text = fs::read_to_string(path).map(Zeroizing::new);
        let text = text.with_context(|| format!("reading {}", path.display()))?;
        return parse(&text).with_context(|| format!("in {}", path.display()));
    }
    let (id, secret) = seal::account::random_access_key();
    let text = Zeroizing::new(ini("default", &id, &secret));
    files::write(path, text.as_bytes(), Access::Private)?;
    Ok((id, secret))
}

/// Credentials as AWS tools read them, under the name of a profile.
pub(crate) fn ini(profile: &str, id: &str, secret: &KeySecret) -> String {
    let secret = secret.expose();
    format!("[{profile}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n")
}

fn parse(text: &str) -> Result<Credentials> {
    let value = |name: &str| {
        let found = text.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        });
        found.filter(|value| !value.is_empty())
    };
    match (value("aws_access_key_id"), value("aws_secret_access_key")) {
        (Some(id), Some(secret)) => Ok((id, KeySecret::new(secret))),
        _ => bail!("expected aws_access_key_id and aws_secret_access_key"),
    }
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
        assert_eq!((made.0.len(), made.1.expose().len()), (20, 40));
        assert_eq!(load_or_make(&path).unwrap(), made);
        let other = load_or_make(&folder.path().join("other")).unwrap();
        assert_ne!(made.1, other.1);
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
