//! The guide: Markdown that is read in the repository, shown as HTML at `/docs/guide`. Nothing is loaded from
//! elsewhere, and pages have no pictures.

use axum::{
    Router,
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use http_api::{Links, Problem};
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

/// One page: its name in addresses, and its text.
#[derive(Debug)]
pub struct Page {
    /// The file's name without `.md`, which is the last part of the page's address.
    pub name: &'static str,
    /// The file itself.
    pub markdown: &'static str,
}

macro_rules! pages {
    ($($name:literal),*) => { &[$(Page { name: $name, markdown: include_str!(concat!("../guide/", $name, ".md")) }),*] };
}

/// Every page, in the order of the table of contents.
pub const PAGES: &[Page] = pages![
    "index",
    "submitting",
    "thumbnails",
    "points",
    "blobs",
    "nuclei",
    "barcodes",
    "models",
    "results",
    "callbacks",
    "errors",
    "limits",
    "keys",
    "deploying",
    "running",
    "hosts",
    "operating",
    "extending"
];

/// What lies beside the pages: name, media type and content.
const FILES: &[(&str, &str, &[u8])] =
    &[("guide.css", "text/css; charset=utf-8", include_bytes!("guide/guide.css"))];

/// The guide as it is found, with `{…}` where each page differs.
const FRAME: &str = include_str!("guide/frame.html");

/// Says which of a page's parts may come from where: the style from here, and nothing else.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

impl Page {
    /// The title, which is the page's first heading and its first line.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.markdown.lines().next().unwrap_or_default().trim_start_matches("# ")
    }
}

/// The routes of the guide.
pub(crate) fn router() -> Router {
    Router::new().route("/docs/guide", get(async |links: Links| show("index", &links))).route(
        "/docs/guide/{name}",
        get(async |links: Links, Path(name): Path<String>| {
            if name == "index" {
                return Redirect::permanent(&links.to("/docs/guide")).into_response();
            }
            show(&name, &links)
        }),
    )
}

fn show(name: &str, links: &Links) -> Response {
    if let Some((_, content_type, body)) = FILES.iter().find(|(file, ..)| *file == name) {
        return ([(header::CONTENT_TYPE, *content_type)], *body).into_response();
    }
    let Some(page) = PAGES.iter().find(|page| page.name == name) else {
        let text = "The guide has no such page; see /docs/guide.";
        return Problem::new(StatusCode::NOT_FOUND, "no_such_route", text).into_response();
    };
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, POLICY)];
    (headers, html_of(page, links)).into_response()
}

/// A heading of a page: its text and the name that links give it.
struct Section {
    title: String,
    anchor: String,
}

fn html_of(page: &Page, links: &Links) -> String {
    let (body, sections) = body_of(page, links);
    let mut contents = String::new();
    for other in PAGES {
        let current = if other.name == page.name { " aria-current=\"page\"" } else { "" };
        contents += &format!(
            "<li><a href=\"{}\"{current}>{}</a>",
            address(other.name, links),
            escaped(other.title())
        );
        if other.name == page.name && !sections.is_empty() {
            contents += "<ul>";
            for Section { title, anchor } in &sections {
                contents += &format!("<li><a href=\"#{anchor}\">{}</a></li>", escaped(title));
            }
            contents += "</ul>";
        }
        contents += "</li>\n";
    }
    FRAME
        .replace("{style}", &links.to("/docs/guide/guide.css"))
        .replace("{api}", &links.to("/docs"))
        .replace("{title}", &escaped(page.title()))
        .replace("{contents}", &contents)
        .replacen("{body}", &body, 1)
}

fn address(name: &str, links: &Links) -> String {
    if name == "index" { links.to("/docs/guide") } else { links.to(&format!("/docs/guide/{name}")) }
}

/// The page's text as HTML, and its sections. Headings get the anchors that they have on GitHub, and a link to a file
/// of the repository, which is not here, is shown as its text.
fn body_of(page: &Page, links: &Links) -> (String, Vec<Section>) {
    let mut sections: Vec<Section> = Vec::new();
    let mut events: Vec<Event<'_>> = Vec::new();
    let mut heading: Option<usize> = None;
    let mut dropped = false;
    for event in Parser::new_ext(page.markdown, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => {
                heading = Some(events.len());
                events.push(event);
            }
            Event::End(TagEnd::Heading(_)) => {
                if let Some(start) = heading.take() {
                    let title: String = events[start + 1..].iter().filter_map(text_of).collect();
                    let anchor = anchor(&title);
                    if let Event::Start(Tag::Heading { level, id, .. }) = &mut events[start] {
                        *id = Some(CowStr::from(anchor.clone()));
                        if *level == pulldown_cmark::HeadingLevel::H2 {
                            sections.push(Section { title, anchor });
                        }
                    }
                }
                events.push(event);
            }
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => match target(&dest_url, links) {
                Some(url) => {
                    events.push(Event::Start(Tag::Link { link_type, dest_url: url.into(), title, id }));
                }
                None => dropped = true,
            },
            Event::End(TagEnd::Link) if dropped => dropped = false,
            // Marks of generated tables.
            Event::Html(_) | Event::InlineHtml(_) => {}
            // A block's language is its first word; what follows is for the tests.
            Event::Start(Tag::CodeBlock(pulldown_cmark::CodeBlockKind::Fenced(info))) => {
                let language = info.split_whitespace().next().unwrap_or_default().to_owned();
                let kind = pulldown_cmark::CodeBlockKind::Fenced(language.into());
                events.push(Event::Start(Tag::CodeBlock(kind)));
            }
            event => events.push(event),
        }
    }
    let mut body = String::with_capacity(page.markdown.len() * 3 / 2);
    html::push_html(&mut body, events.into_iter());
    (body, sections)
}

fn text_of<'a>(event: &'a Event<'_>) -> Option<&'a str> {
    match event {
        Event::Text(text) | Event::Code(text) => Some(text),
        _ => None,
    }
}

/// Where a link of a page leads here: another page, the same page, or elsewhere. A file of the repository is nowhere.
fn target(url: &str, links: &Links) -> Option<String> {
    if url.starts_with('#') || url.starts_with("https://") {
        return Some(url.to_owned());
    }
    let (file, anchor) = url.split_once('#').unwrap_or((url, ""));
    let name = file.strip_suffix(".md")?;
    let page = PAGES.iter().find(|page| page.name == name)?;
    let anchor = if anchor.is_empty() { String::new() } else { format!("#{anchor}") };
    Some(address(page.name, links) + &anchor)
}

/// A heading's name in links, as GitHub makes it: in small letters, spaces as hyphens, without punctuation.
fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links() -> Links {
        Links::new("/v1")
    }

    #[test]
    fn anchors_are_those_of_github() {
        assert_eq!(anchor("A job's states, in order"), "a-jobs-states-in-order");
        assert_eq!(anchor("`poi_detection` 5 × 5"), "poi_detection-5--5");
    }

    #[test]
    fn links_lead_to_pages_and_files_of_the_repository_are_not_linked() {
        assert_eq!(target("errors.md", &links()).as_deref(), Some("/v1/docs/guide/errors"));
        assert_eq!(target("index.md", &links()).as_deref(), Some("/v1/docs/guide"));
        assert_eq!(target("errors.md#codes", &links()).as_deref(), Some("/v1/docs/guide/errors#codes"));
        assert_eq!(target("#codes", &links()).as_deref(), Some("#codes"));
        assert_eq!(target("../../../shared/jobs/src/job.rs", &links()), None);
        assert_eq!(target("../../../CONTRIBUTING.md", &links()), None);
    }

    #[test]
    fn every_page_has_a_title_a_place_in_the_contents_and_no_link_to_nowhere() {
        for page in PAGES {
            assert!(page.markdown.starts_with("# "), "{} begins with its title", page.name);
            let html = html_of(page, &links());
            for other in PAGES {
                let link = format!("href=\"{}\"", address(other.name, &links()));
                assert!(html.contains(&link), "{} links to {}", page.name, other.name);
            }
            let targets = html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
            for target in targets.filter(|target| !target.starts_with("https://")) {
                assert!(!target.contains(".md"), "{} links to {target}, which is not here", page.name);
            }
            assert!(!html.contains("generated:"), "{} shows a mark of the generator", page.name);
            assert!(!html.contains("src="), "{} has a picture, which is not served", page.name);
        }
    }

    #[test]
    fn links_within_the_guide_name_headings_that_are_there() {
        for page in PAGES {
            for event in Parser::new_ext(page.markdown, Options::ENABLE_TABLES) {
                let Event::Start(Tag::Link { dest_url, .. }) = event else { continue };
                let Some((file, anchor)) = dest_url.split_once('#') else { continue };
                if file.starts_with("http") || file.starts_with("..") {
                    continue;
                }
                let name = if file.is_empty() { page.name } else { file.trim_end_matches(".md") };
                let other = PAGES.iter().find(|page| page.name == name).expect("a page of the guide");
                let (body, _) = body_of(other, &links());
                assert!(body.contains(&format!("id=\"{anchor}\"")), "{} links to {dest_url}", page.name);
            }
        }
    }
}
