//! Licence expressions (SPDX 2.3, annex D): `MIT OR (Apache-2.0 AND ISC)`, with the older `MIT/Apache-2.0`
//! of crates.io. `X WITH Y` counts as the licence X, since an exception only permits more.

/// A parsed expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    License(String),
    All(Vec<Expression>),
    Any(Vec<Expression>),
}

impl Expression {
    /// None when it is not an expression.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let spaced = text
            .replace('/', " OR ")
            .replace('(', " ( ")
            .replace(')', " ) ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let (expression, rest) = any(&words)?;
        rest.is_empty().then_some(expression)
    }

    /// True when the licences that `allowed` accepts are enough.
    pub(crate) fn holds(&self, allowed: &impl Fn(&str) -> bool) -> bool {
        match self {
            Self::License(license) => allowed(license),
            Self::All(parts) => parts.iter().all(|part| part.holds(allowed)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(allowed)),
        }
    }
}

type Parsed<'a> = Option<(Expression, &'a [&'a str])>;

fn any<'a>(words: &'a [&'a str]) -> Parsed<'a> {
    let (parts, rest) = joined(words, "OR", all)?;
    Some((Expression::Any(parts), rest))
}

/// AND binds more tightly than OR.
fn all<'a>(words: &'a [&'a str]) -> Parsed<'a> {
    let (parts, rest) = joined(words, "AND", one)?;
    Some((Expression::All(parts), rest))
}

fn joined<'a>(
    words: &'a [&'a str],
    word: &str,
    part: fn(&'a [&'a str]) -> Parsed<'a>,
) -> Option<(Vec<Expression>, &'a [&'a str])> {
    let (first, mut rest) = part(words)?;
    let mut parts = vec![first];
    while let Some((joiner, after)) = rest.split_first()
        && *joiner == word
    {
        let (next, left) = part(after)?;
        parts.push(next);
        rest = left;
    }
    Some((parts, rest))
}

fn one<'a>(words: &'a [&'a str]) -> Parsed<'a> {
    match words {
        ["(", inner @ ..] => {
            let (expression, rest) = any(inner)?;
            Some((expression, rest.strip_prefix(&[")"])?))
        }
        ["OR" | "AND" | "WITH" | ")", ..] | [] => None,
        [license, "WITH", _, rest @ ..] | [license, rest @ ..] => {
            Some((Expression::License((*license).to_owned()), rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AND needs both, OR either, and AND binds more tightly.
    #[test]
    fn expressions_are_decided() {
        let allowed = |license: &str| matches!(license, "MIT" | "ISC");
        for (text, expected) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("MIT OR GPL-3.0", true),
            ("GPL-3.0/MIT", true),
            ("MIT AND GPL-3.0", false),
            ("MIT AND (GPL-3.0 OR ISC)", true),
            ("GPL-3.0 AND GPL-2.0 OR MIT", true),
            ("(GPL-3.0 OR ISC) AND MIT AND GPL-2.0", false),
            ("MIT WITH LLVM-exception", true),
        ] {
            let expression = Expression::parse(text).unwrap();
            assert_eq!(expression.holds(&allowed), expected, "{text}");
        }
        for nonsense in ["", "OR", "MIT OR", "(MIT", "MIT)", "MIT ISC", "AND MIT"] {
            assert_eq!(Expression::parse(nonsense), None, "{nonsense:?}");
        }
    }
}
