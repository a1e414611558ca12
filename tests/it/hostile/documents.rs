//! XML: malformed, bombs, too large, the wrong kind.

use super::case::{Case, Target};

const XML: &str = "400 MalformedXML";

pub(super) fn cases(target: &Target, upload: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut document = |name: &str, (method, query, good): (_, Query<'_>, &str), body: Vec<u8>| {
        let mut ask = target.ask(method, query.path);
        for (name, value) in query.pairs {
            ask = ask.query(name, value);
        }
        let name = format!("{good}: {name}");
        let expected: &[_] = match good {
            // Hidden behind a missing body for some.
            _ if body.is_empty() => &["400 MalformedXML", "400 MissingRequestBodyError"],
            _ => &[XML],
        };
        cases.push(Case::signed(target, &name, &ask.body(body), expected));
    };
    let delete = Query {
        path: "/bucket",
        pairs: &[("delete", "")],
    };
    let complete_pairs = [("uploadId", upload)];
    let complete = Query {
        path: "/bucket/multipart",
        pairs: &complete_pairs,
    };
    let tagging = Query {
        path: "/bucket/here",
        pairs: &[("tagging", "")],
    };
    let delete_good = "<Object><Key>here-not</Key></Object>";
    let complete_good = "<Part><PartNumber>1</PartNumber><ETag>x</ETag></Part>";
    let tagging_good = "<TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet>";
    for (method, query, root, inner) in [
        ("POST", delete, "Delete", delete_good),
        ("POST", complete, "CompleteMultipartUpload", complete_good),
        ("PUT", tagging, "Tagging", tagging_good),
    ] {
        for (name, body) in malformed(root, inner) {
            document(name, (method, query, root), body);
        }
    }
    cases.extend(too_many(target, upload));
    cases
}

#[derive(Clone, Copy)]
struct Query<'a> {
    path: &'a str,
    pairs: &'a [(&'a str, &'a str)],
}

/// Documents that no reader may take for `<root>inner</root>`.
fn malformed(root: &str, inner: &str) -> Vec<(&'static str, Vec<u8>)> {
    let whole = format!("<{root}>{inner}</{root}>");
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">\
        <!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\"><!ENTITY d \"&c;&c;&c;&c;&c;&c;&c;&c;\">]>";
    let outside = "<!DOCTYPE x [<!ENTITY f SYSTEM \"file:///etc/passwd\">]>";
    let named = |entity: &str| {
        let text = inner.replacen("</", &format!("{entity}</"), 1);
        format!("<{root}>{text}</{root}>")
    };
    let deep = format!("<{root}>{}", "<a>".repeat(20_000));
    vec![
        ("nothing", Vec::new()),
        ("no XML", b"{\"key\": 1}".to_vec()),
        ("blank", b" \r\n\t ".to_vec()),
        ("binary", vec![0xff, 0xfe, 0, 1, 2, 3]),
        ("cut short", whole.as_bytes()[..whole.len() - 4].to_vec()),
        ("an open element", format!("<{root}>{inner}").into()),
        ("another root", format!("<Other>{inner}</Other>").into()),
        (
            "ends crossed",
            format!("<{root}><Object></{root}></Object>").into(),
        ),
        ("two roots", format!("{whole}{whole}").into()),
        ("text behind", format!("{whole}text").into()),
        ("an entity bomb", format!("{bomb}{}", named("&d;")).into()),
        (
            "an outside entity",
            format!("{outside}{}", named("&f;")).into(),
        ),
        ("an unknown entity", named("&nothing;").into()),
        ("deep nesting", deep.into()),
        ("an empty root", format!("<{root}></{root}>").into()),
        ("a NUL", whole.replacen('<', "\0<", 2).into()),
        (
            "not UTF-8",
            [b"<", root.as_bytes(), b"><\xff\xfe>"].concat(),
        ),
        (
            "UTF-16",
            whole.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        ),
    ]
}

/// More of what is allowed than is allowed.
fn too_many(target: &Target, upload: &str) -> Vec<Case> {
    let objects = |count: usize| {
        let each = |n| format!("<Object><Key>none-{n}</Key></Object>");
        let all: String = (0..count).map(each).collect();
        format!("<Delete>{all}</Delete>")
    };
    let parts = |numbers: &mut dyn Iterator<Item = i64>| {
        let each = |n| format!("<Part><PartNumber>{n}</PartNumber><ETag>\"00\"</ETag></Part>");
        let all: String = numbers.map(each).collect();
        format!("<CompleteMultipartUpload>{all}</CompleteMultipartUpload>")
    };
    let delete = || target.ask("POST", "/bucket").query("delete", "");
    let complete = || {
        target
            .ask("POST", "/bucket/multipart")
            .query("uploadId", upload)
    };
    let tags = |count: usize| {
        let each = |n| format!("<Tag><Key>k{n}</Key><Value>v</Value></Tag>");
        let all: String = (0..count).map(each).collect();
        let body = format!("<Tagging><TagSet>{all}</TagSet></Tagging>");
        target
            .ask("PUT", "/bucket/here")
            .query("tagging", "")
            .body(body)
    };
    let long = format!(
        "<Delete><Object><Key>{}</Key></Object></Delete>",
        "k".repeat(3 << 20)
    );
    let parts_100_000 = parts(&mut (1..=100_000));
    [
        ("1001 objects", delete().body(objects(1001)), vec![XML]),
        (
            "50 000 objects",
            delete().body(objects(50_000)),
            vec!["400 EntityTooLarge", XML, "400 MaxMessageLengthExceeded"],
        ),
        (
            "a key of 3 MiB",
            delete().body(long),
            vec!["400 EntityTooLarge", XML, "400 MaxMessageLengthExceeded"],
        ),
        (
            "100 000 parts",
            complete().body(parts_100_000),
            vec![XML, "400 EntityTooLarge", "400 InvalidPart"],
        ),
        (
            "parts in disorder",
            complete().body(parts(&mut [2, 1].into_iter())),
            vec!["400 InvalidPartOrder"],
        ),
        (
            "a part twice",
            complete().body(parts(&mut [1, 1].into_iter())),
            vec!["400 InvalidPartOrder", "400 InvalidPart"],
        ),
        (
            "part 0",
            complete().body(parts(&mut [0].into_iter())),
            vec!["400 InvalidPart", "400 InvalidArgument", XML],
        ),
        (
            "part -1",
            complete().body(parts(&mut [-1].into_iter())),
            vec!["400 InvalidPart", "400 InvalidArgument", XML],
        ),
        (
            "part 10001",
            complete().body(parts(&mut [10_001].into_iter())),
            vec!["400 InvalidPart", "400 InvalidArgument", XML],
        ),
        (
            "a part number of 40 bits",
            complete().body(parts(&mut [1 << 40].into_iter())),
            vec![XML],
        ),
        (
            "a part that is not there",
            complete().body(parts(&mut [7].into_iter())),
            vec!["400 InvalidPart"],
        ),
        (
            "11 tags",
            tags(11),
            vec!["400 BadRequest", "400 InvalidTag", XML],
        ),
        (
            "10 000 tags",
            tags(10_000),
            vec![
                "400 BadRequest",
                "400 InvalidTag",
                XML,
                "400 EntityTooLarge",
            ],
        ),
    ]
    .into_iter()
    .map(|(name, ask, expected)| Case::signed(target, name, &ask, &expected))
    .collect()
}
