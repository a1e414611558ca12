//! Access control lists, as far as there are any: of each bucket and object its owner has full control,
//! and nobody else has any.
//!
//! A client that asks for just that gets it. One that asks for more is refused: an object that its client
//! believes shared, or a list that is dropped in silence, would be worse than an error.

use s3s::dto::{AccessControlPolicy, Grant, Grantee, Owner, Permission, Type};
use s3s::{S3ErrorCode, S3Result, s3_error};

/// Canned lists that come to what we do anyway: who may write to a bucket is its owner.
const OURS: [&str; 2] = ["private", "bucket-owner-full-control"];
/// Canned lists that S3 knows besides.
const KNOWN: [&str; 6] = [
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "log-delivery-write",
];
/// Digits of a user's id.
const ID: usize = 64;
const PERMISSIONS: [&str; 5] = ["FULL_CONTROL", "WRITE", "WRITE_ACP", "READ", "READ_ACP"];

/// Whether a canned list may be asked for.
///
/// # Errors
/// It grants something to others, or there is no such list.
pub(crate) fn canned(name: &str) -> S3Result<()> {
    if OURS.contains(&name) {
        Ok(())
    } else if KNOWN.contains(&name) {
        Err(shared())
    } else {
        Err(s3_error!(InvalidArgument, "There is no such canned ACL."))
    }
}

/// The list of whatever `owner` owns.
pub(crate) fn of(owner: &Owner) -> Vec<Grant> {
    vec![Grant {
        grantee: Some(Grantee {
            display_name: owner.display_name.clone(),
            email_address: None,
            id: owner.id.clone(),
            type_: Type::from_static(Type::CANONICAL_USER),
            uri: None,
        }),
        permission: Some(Permission::from_static(Permission::FULL_CONTROL)),
    }]
}

/// Whether a list may be given to what the user `owner` owns: when it says what holds anyway.
///
/// # Errors
/// It is no list, names another owner, or grants something else.
pub(crate) fn check(list: AccessControlPolicy, owner: &str) -> S3Result<()> {
    let named = list.owner.and_then(|owner| owner.id);
    let named = named.ok_or(S3ErrorCode::MalformedACLError)?;
    if named != owner {
        return Err(S3ErrorCode::AccessDenied.into());
    }
    let grants = list.grants.ok_or(S3ErrorCode::MalformedACLError)?;
    let mut full = false;
    for grant in grants {
        full |= is_full(grant, owner)?;
    }
    match full {
        true => Ok(()),
        false => Err(shared()),
    }
}

/// Whether a grant gives full control, to the owner.
fn is_full(grant: Grant, owner: &str) -> S3Result<bool> {
    let (Some(to), Some(permission)) = (grant.grantee, grant.permission) else {
        return Err(S3ErrorCode::MalformedACLError.into());
    };
    if !PERMISSIONS.contains(&permission.as_str()) {
        return Err(S3ErrorCode::MalformedACLError.into());
    }
    match to.type_.as_str() {
        Type::CANONICAL_USER if to.id.as_deref() == Some(owner) => {
            Ok(permission.as_str() == Permission::FULL_CONTROL)
        }
        Type::CANONICAL_USER if !to.id.as_deref().is_some_and(is_id) => {
            Err(s3_error!(InvalidArgument, "Invalid id"))
        }
        Type::CANONICAL_USER | Type::GROUP => Err(shared()),
        // No user here has one.
        Type::AMAZON_CUSTOMER_BY_EMAIL => Err(S3ErrorCode::UnresolvableGrantByEmailAddress.into()),
        _ => Err(S3ErrorCode::MalformedACLError.into()),
    }
}

/// Whether a user could have this id.
fn is_id(text: &str) -> bool {
    text.len() == ID && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn shared() -> s3s::S3Error {
    s3_error!(
        NotImplemented,
        "Access control lists are not implemented: what a bucket holds is its owner's alone."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: &str = "11d1558fc6b9ea4ee3a07ba0ea8bb9a2b11d1558fc6b9ea4ee3a07ba0ea8bb9a";
    const YOU: &str = "22d1558fc6b9ea4ee3a07ba0ea8bb9a2b11d1558fc6b9ea4ee3a07ba0ea8bb9a";

    fn told(result: S3Result<()>) -> String {
        result
            .err()
            .map(|error| error.code().as_str().to_owned())
            .unwrap_or_default()
    }

    fn owner(id: &str) -> Owner {
        Owner {
            id: Some(id.into()),
            display_name: None,
        }
    }

    fn grant(kind: &'static str, to: &str, permission: &'static str) -> Grant {
        let mut grant = of(&owner(to)).remove(0);
        let grantee = grant.grantee.as_mut().expect("there is one");
        grantee.type_ = Type::from_static(kind);
        grant.permission = Some(Permission::from_static(permission));
        grant
    }

    /// A canned list that shares is told apart from one that there is not.
    /// Method: all of S3's, and others.
    #[test]
    fn canned_lists() {
        for name in OURS {
            assert_eq!(told(canned(name)), "");
        }
        for name in KNOWN {
            assert_eq!(told(canned(name)), "NotImplemented", "{name}");
        }
        for name in ["", "Private", "private ", "public"] {
            assert_eq!(told(canned(name)), "InvalidArgument", "{name}");
        }
    }

    /// The list that is shown may be given back; one that grants anything else may not, and nobody's name
    /// but the owner's stands for the owner.
    /// Method: a table of lists for what one user owns.
    #[test]
    fn only_the_owners_list_is_taken() {
        let full = || grant("CanonicalUser", ME, "FULL_CONTROL");
        let list = |named: &str, grants: Vec<Grant>| AccessControlPolicy {
            owner: Some(owner(named)),
            grants: Some(grants),
        };
        for (list, expected) in [
            (list(ME, of(&owner(ME))), ""),
            (list(ME, vec![full(), full()]), ""),
            (list(YOU, of(&owner(ME))), "AccessDenied"),
            (list(ME, of(&owner(YOU))), "NotImplemented"),
            (list(ME, Vec::new()), "NotImplemented"),
            (
                list(ME, vec![full(), grant("CanonicalUser", "_you", "READ")]),
                "InvalidArgument",
            ),
            (
                list(ME, vec![grant("CanonicalUser", ME, "READ")]),
                "NotImplemented",
            ),
            (
                list(ME, vec![full(), grant("CanonicalUser", YOU, "READ")]),
                "NotImplemented",
            ),
            (
                list(ME, vec![full(), grant("Group", ME, "READ")]),
                "NotImplemented",
            ),
            (
                list(ME, vec![grant("AmazonCustomerByEmail", ME, "READ")]),
                "UnresolvableGrantByEmailAddress",
            ),
            (
                list(ME, vec![full(), grant("Someone", ME, "READ")]),
                "MalformedACLError",
            ),
            (
                list(ME, vec![full(), grant("CanonicalUser", ME, "FLY")]),
                "MalformedACLError",
            ),
            (list(ME, vec![Grant::default()]), "MalformedACLError"),
            (AccessControlPolicy::default(), "MalformedACLError"),
            (
                AccessControlPolicy {
                    grants: Some(of(&owner(ME))),
                    owner: None,
                },
                "MalformedACLError",
            ),
        ] {
            let shown = format!("{list:?}");
            assert_eq!(told(check(list, ME)), expected, "{shown}");
        }
    }
}
