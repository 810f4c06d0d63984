//! The page and the files it names.

use std::collections::{HashSet, VecDeque};
use std::io::Read;

use reqwest::{Response, StatusCode};

use super::{header, lists};
use crate::harness::Server;

async fn fetch(server: &Server, path: &str, encoding: &str) -> Response {
    let request = server
        .client()
        .get(server.url(path))
        .header("Accept-Encoding", encoding);
    request
        .send()
        .await
        .unwrap_or_else(|error| panic!("GET {path}: {error:?}"))
}

/// What `text` names in its `src` and `href` attributes, its imports and its `url(…)`.
fn named_in(text: &str) -> Vec<String> {
    let between = |before: &str, end: char| -> Vec<String> {
        let ends = text
            .split(before)
            .skip(1)
            .filter_map(|rest| rest.split(end).next());
        ends.map(str::to_owned).collect()
    };
    let mut names: Vec<_> = ["src=\"", "href=\"", "url(\""]
        .iter()
        .flat_map(|before| between(before, '"'))
        .collect();
    names.retain(|name| {
        !name.is_empty()
            && !name.starts_with(['#', '?', '$'])
            && !name.starts_with("data:")
            && name != "./"
    });
    for end in ['"', '\''] {
        for before in ["from ", "import ", "import("] {
            let imports = between(&format!("{before}{end}"), end);
            // What else stands in quotes after these words is prose.
            names.extend(
                imports
                    .into_iter()
                    .filter(|name| name.starts_with(['.', '/']) || name.contains("://")),
            );
        }
    }
    names
}

/// `name`, as a file at `base` names it.
fn resolve(base: &str, name: &str) -> String {
    let mut parts: Vec<&str> = base.split('/').collect();
    parts.pop();
    for part in name.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[tokio::test]
async fn every_file_the_page_names_is_there_with_type_tag_and_caching() {
    let server = Server::start(&[]).await;
    let mut queue = VecDeque::from(["/".to_owned()]);
    let mut seen = HashSet::new();
    while let Some(path) = queue.pop_front() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let answer = fetch(&server, &path, "identity").await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let kind = header(&answer, "Content-Type").to_owned();
        let wanted = match path.rsplit_once('.').map(|(_, extension)| extension) {
            None | Some("html") => "text/html",
            Some("js" | "mjs") => "text/javascript",
            Some("css") => "text/css",
            Some("svg") => "image/svg+xml",
            Some("png") => "image/png",
            Some("webmanifest") => "application/manifest+json",
            Some(other) => panic!("{path}: no type is expected for .{other} yet"),
        };
        assert!(kind.starts_with(wanted), "{path}: Content-Type: {kind}");
        assert!(
            header(&answer, "ETag").ends_with('"'),
            "{path}: ETag: {}",
            header(&answer, "ETag")
        );
        assert_ne!(
            header(&answer, "Cache-Control"),
            "",
            "{path}: Cache-Control"
        );
        assert_eq!(
            header(&answer, "X-Content-Type-Options"),
            "nosniff",
            "{path}"
        );
        if wanted.starts_with("text/") {
            let text = answer.text().await.expect("text");
            for name in named_in(&text) {
                let relative = !name.starts_with('/') && !name.contains("://");
                assert!(
                    relative,
                    "{path} names {name}: only relative URLs work under a path prefix"
                );
                queue.push_back(resolve(&path, name.split(['?', '#']).next().unwrap()));
            }
        }
    }
    assert!(
        seen.iter().any(|path| path.contains(".js")),
        "the page has a script: {seen:?}"
    );
    assert!(
        seen.iter().any(|path| path.contains(".css")),
        "the page has a style sheet: {seen:?}"
    );
}

#[tokio::test]
async fn what_a_client_has_already_is_a_304() {
    let server = Server::start(&[]).await;
    for encoding in ["identity", "br", "gzip"] {
        let first = fetch(&server, "/", encoding).await;
        let tag = header(&first, "ETag").to_owned();
        let ask = async |tags: &str| {
            let request = server
                .client()
                .get(server.url("/"))
                .header("Accept-Encoding", encoding);
            request
                .header("If-None-Match", tags)
                .send()
                .await
                .expect("an answer")
        };
        for tags in [
            tag.clone(),
            format!("\"other\", {tag}"),
            "*".to_owned(),
            format!("W/{}", tag.trim_start_matches("W/")),
        ] {
            let again = ask(&tags).await;
            assert_eq!(
                again.status(),
                StatusCode::NOT_MODIFIED,
                "{encoding}: If-None-Match: {tags}"
            );
            assert_eq!(
                header(&again, "ETag"),
                tag,
                "{encoding}: RFC 9110 section 15.4.5"
            );
            assert_eq!(again.bytes().await.expect("no body").len(), 0, "{encoding}");
        }
        assert_eq!(
            ask("\"other\"").await.status(),
            StatusCode::OK,
            "{encoding}"
        );
    }
}

#[tokio::test]
async fn the_client_chooses_the_content_encoding() {
    let server = Server::start(&[]).await;
    let cases = [
        ("identity", ""),
        ("", ""),
        ("gzip", "gzip"),
        ("br", "br"),
        ("gzip, deflate, br", "br"),
        ("gzip, br;q=0", "gzip"),
        ("br;q=0, gzip;q=0", ""),
        ("deflate", ""),
    ];
    let identity = fetch(&server, "/", "identity").await;
    let identity_tag = header(&identity, "ETag").to_owned();
    let page = identity.bytes().await.expect("the page");
    for (accepted, wanted) in cases {
        let answer = fetch(&server, "/", accepted).await;
        assert_eq!(
            header(&answer, "Content-Encoding"),
            wanted,
            "Accept-Encoding: {accepted}"
        );
        assert!(
            lists(header(&answer, "Vary"), "Accept-Encoding"),
            "Vary: {}",
            header(&answer, "Vary")
        );
        let tag = header(&answer, "ETag").to_owned();
        let same = wanted.is_empty() || tag.starts_with("W/");
        assert!(
            same || tag != identity_tag,
            "a strong ETag is of one encoding only: {tag}"
        );
        let body = answer.bytes().await.expect("a body");
        let mut decoded = Vec::new();
        match wanted {
            "gzip" => {
                flate2::read::GzDecoder::new(&body[..])
                    .read_to_end(&mut decoded)
                    .expect("gzip");
            }
            "br" => brotli::BrotliDecompress(&mut &body[..], &mut decoded).expect("brotli"),
            _ => decoded.extend_from_slice(&body),
        }
        assert!(
            decoded == page,
            "Accept-Encoding: {accepted}: the same page"
        );
        assert!(
            wanted.is_empty() || body.len() < page.len(),
            "{wanted} is smaller"
        );
    }
}

#[tokio::test]
async fn the_page_has_its_policy_and_security_headers() {
    let server = Server::start(&[]).await;
    let page = server.get("/").await;
    let policy = header(&page, "Content-Security-Policy");
    let wanted = [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ];
    for directive in wanted {
        let found = policy.split(';').any(|part| part.trim() == directive);
        assert!(found, "{directive} in {policy}");
    }
    assert_eq!(header(&page, "X-Content-Type-Options"), "nosniff");
    assert_ne!(header(&page, "Referrer-Policy"), "", "{:?}", page.headers());
    assert!(
        header(&page, "Content-Type").eq_ignore_ascii_case("text/html; charset=utf-8"),
        "{:?}",
        page.headers()
    );
    let text = page.text().await.expect("the page");
    assert!(
        !text.contains("<style") && !text.contains(" style=") && !text.contains(" onclick="),
        "no inline code:\n{text}"
    );
    for script in text.split("<script").skip(1) {
        let (attributes, rest) = script.split_once('>').expect("a script tag");
        let inline = rest.split("</script").next().unwrap_or_default();
        assert!(
            attributes.contains("src=") && inline.trim().is_empty(),
            "no inline script: <script{script}"
        );
    }
}
