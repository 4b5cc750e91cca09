//! The pages about error codes, `docs/errors/*.md`, as HTML: what `href` of an error leads to.

use std::fmt::Write as _;

use axum::{body::Body, response::Response};
use contract::Code;
use http::HeaderValue;

use super::page::{escaped, html, spans};

const HEAD: &str = include_str!("errors_head.html");
/// Of `errors_head.html`: its style is its own, and there is no script.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

macro_rules! pages {
    ($($code:literal)*) => {
        /// Every code's page, in Markdown.
        const PAGES: &[(u32, &str)] = &[$(
            ($code, include_str!(concat!("../../../../docs/errors/", $code, ".md"))),
        )*];
    };
}

pages! {
    400 402 408 410 429 430 432 433 470 471 472 480 500 501
    1000 1001 1002 1004 1005 1006 1007 1008 1009 1010 1011 1013 1014 1015 1016 1017 1018
    1021 1022 1023 1024 1025 1026 1028 1031
    2000 2001 2002 2003 2004 2005 2006 2007 2008 2009 2010 2011 2012 2013 2014 2015 2016 2017
    2023 2024 2025 2026 2027 2028 2029 2030 2036 2048 2050 2060 2061 2062 2068 2069
}

/// The page about a code, if there is such a code.
pub(crate) fn error_page(code: &str) -> Option<Response> {
    let code: u32 = code.parse().ok()?;
    let (_, text) = PAGES.iter().find(|(known, _)| *known == code)?;
    Some(html(Body::from(rendered(text)), POLICY))
}

/// All codes.
pub(crate) fn error_index() -> Response {
    let mut out = format!("{HEAD}<title>Error codes</title><h1>Error codes</h1><ul class=\"all\">");
    for code in Code::ALL {
        let (number, title) = (code.get(), escaped(code.title()));
        // Writing to a String cannot fail.
        let _ = write!(out, "<li><a href=\"/docs/errors/{number}\">{number}</a> {title}");
    }
    out.push_str("</ul>");
    html(Body::from(out), POLICY)
}

/// The Markdown of the pages: a title, then paragraphs.
fn rendered(text: &str) -> String {
    let (title, rest) = text.split_once('\n').unwrap_or((text, ""));
    let title = escaped(title.trim_start_matches("# "));
    let mut out = format!("{HEAD}<title>{title}</title><h1>{title}</h1>");
    for paragraph in rest.split("\n\n").map(str::trim).filter(|text| !text.is_empty()) {
        let _ = write!(out, "<p>{}", spans(paragraph));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_code_has_its_page_and_every_page_its_code() {
        let codes: BTreeSet<u32> = Code::ALL.iter().map(|code| u32::from(code.get())).collect();
        let pages: BTreeSet<u32> = PAGES.iter().map(|(code, _)| *code).collect();
        assert_eq!(pages, codes);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
        let files: BTreeSet<String> = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(files, codes.iter().map(|code| format!("{code}.md")).collect());
    }

    #[test]
    fn a_page_has_the_title_of_its_code_and_says_when_what_to_do_and_whether_to_repeat() {
        for (code, text) in PAGES {
            let known = Code::from_u32(*code).unwrap();
            assert!(text.starts_with(&format!("# {code} {}\n", known.title())), "{code}");
            for part in ["**When it comes:** ", "**What to do:** ", "**Repeat it?** "] {
                assert_eq!(text.matches(part).count(), 1, "{code}: {part}");
            }
        }
    }

    #[test]
    fn markdown_becomes_html_and_nothing_else_does() {
        let page = rendered("# 1 <b>\n\nOne `a<b` and **two**.\n\nThree\n");
        assert!(page.ends_with(
            "<h1>1 &lt;b&gt;</h1><p>One <code>a&lt;b</code> and <strong>two</strong>.<p>Three"
        ));
    }
}
