//! Forms as clients send them ([RFC 7578], [RFC 2046, 5.1]). The whole body is at hand, so a part is a slice of it.
//!
//! What is not as the standards say is taken wherever it can mean one thing only: names of headers and parameters in
//! any case, lines that end in LF alone, folded headers, text before the first part and after the last, parts without a
//! `Content-Type`, `filename*`, and Base64.
//!
//! [RFC 7578]: https://www.rfc-editor.org/rfc/rfc7578
//! [RFC 2046, 5.1]: https://www.rfc-editor.org/rfc/rfc2046#section-5.1

use axum::body::Bytes;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jobs::{submit::media_type, units};
use memchr::{memchr, memmem};
use percent_encoding::percent_decode_str;

/// The most parts of a form: far more than there are options.
const MOST_PARTS: usize = 256;

/// The most bytes of a part's headers.
const MOST_HEADERS: usize = 16 << 10;

/// The longest boundary, far beyond the 70 characters that a standard one has.
const MOST_BOUNDARY: usize = 256;

/// One part of a form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its name; empty where it has none.
    pub(crate) name: String,
    /// The name of its file; empty where a form has a field for a file and none was chosen.
    pub(crate) file_name: Option<String>,
    /// Its media type, without parameters; empty where it does not say.
    pub(crate) content_type: String,
    /// What it holds.
    pub(crate) content: Bytes,
}

/// Why a form cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormError {
    #[error("The form cannot be read: it is cut off, or its boundary is not the one announced.")]
    Incomplete,
    #[error("The form has more than {} parts.", MOST_PARTS)]
    TooManyParts,
    #[error("The headers of a part of the form have more than {}.", units::bytes(MOST_HEADERS as u64))]
    LongHeaders,
    #[error("A part of the form says that it is Base64, and it is not.")]
    NotBase64,
    #[error(
        "A part of the form has a Content-Transfer-Encoding that is not read; send it as it is (binary)."
    )]
    TransferEncoding,
}

/// The boundary that a `Content-Type` announces.
pub(crate) fn boundary(content_type: &str) -> Option<String> {
    let boundary = parameter(content_type, "boundary")?;
    (1..=MOST_BOUNDARY).contains(&boundary.len()).then_some(boundary)
}

/// The parts of a form, in order.
///
/// # Errors
/// [`FormError`].
pub(crate) fn parts(body: &Bytes, boundary: &str) -> Result<Vec<Part>, FormError> {
    let mut delimiters = Delimiters::new(body, boundary);
    let mut parts = Vec::new();
    let mut from = match delimiters.next().ok_or(FormError::Incomplete)? {
        Delimiter { is_last: true, .. } => return Ok(parts),
        first => first.end,
    };
    loop {
        let Delimiter { start, end, is_last } = delimiters.next().ok_or(FormError::Incomplete)?;
        if parts.len() == MOST_PARTS {
            return Err(FormError::TooManyParts);
        }
        parts.push(part(body, from, start)?);
        if is_last {
            return Ok(parts);
        }
        from = end;
    }
}

/// A line that separates parts: where the line break before it begins, where the line ends, and whether it is the last.
struct Delimiter {
    start: usize,
    end: usize,
    is_last: bool,
}

struct Delimiters<'a> {
    body: &'a [u8],
    dashed: Vec<u8>,
    /// Where to look on.
    at: usize,
    /// Whether lines end in CRLF, as the first delimiter does: a file that ends in CR keeps it then.
    crlf: Option<bool>,
}

impl<'a> Delimiters<'a> {
    fn new(body: &'a [u8], boundary: &str) -> Self {
        Self { body, dashed: [b"--", boundary.as_bytes()].concat(), at: 0, crlf: None }
    }
}

impl Iterator for Delimiters<'_> {
    type Item = Delimiter;

    fn next(&mut self) -> Option<Delimiter> {
        let finder = memmem::Finder::new(&self.dashed);
        loop {
            let found = self.at + finder.find(self.body.get(self.at..)?)?;
            let after = found + self.dashed.len();
            self.at = found + 1;
            let before = &self.body[..found];
            let start = match (self.crlf, before) {
                (_, []) => 0,
                (None | Some(true), [.., b'\r', b'\n']) => found - 2,
                (None | Some(false), [.., b'\n']) => found - 1,
                _ => continue,
            };
            let rest = &self.body[after..];
            if rest.starts_with(b"--") {
                self.at = after;
                return Some(Delimiter { start, end: after + 2, is_last: true });
            }
            // Blanks may follow; anything else belongs to a longer line that only begins like this one.
            let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            let break_length = match &rest[padding..] {
                [b'\r', b'\n', ..] => 2,
                [b'\n', ..] => 1,
                _ => continue,
            };
            self.crlf.get_or_insert(break_length == 2);
            // The line break of this delimiter can also be the one before the next, of a part that has nothing at all.
            self.at = after;
            return Some(Delimiter { start, end: after + padding + break_length, is_last: false });
        }
    }
}

/// The part from where its headers begin to where its content ends.
fn part(body: &Bytes, from: usize, to: usize) -> Result<Part, FormError> {
    let mut part = Part::default();
    let mut encoding = String::new();
    let mut rest = body.get(from..to).unwrap_or_default();
    let mut header = String::new();
    let content = loop {
        // Where a part has headers and no content, its last header ends where the part does.
        let (line, next) = match memchr(b'\n', rest) {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => (rest, &rest[rest.len()..]),
        };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let position = to - next.len();
        if position - from > MOST_HEADERS {
            return Err(FormError::LongHeaders);
        }
        let is_folded = matches!(line, [b' ' | b'\t', ..]);
        if !is_folded {
            match header.split_once(':') {
                Some((name, value)) if name.trim().eq_ignore_ascii_case("content-disposition") => {
                    part.name = parameter(value, "name").unwrap_or_default();
                    part.file_name = parameter(value, "filename");
                }
                Some((name, value)) if name.trim().eq_ignore_ascii_case("content-type") => {
                    part.content_type = media_type(value);
                }
                Some((name, value)) if name.trim().eq_ignore_ascii_case("content-transfer-encoding") => {
                    encoding = value.trim().to_ascii_lowercase();
                }
                _ => {}
            }
            header.clear();
        }
        if line.is_empty() {
            break body.slice(position.min(to)..to);
        }
        header += &String::from_utf8_lossy(line);
        rest = next;
    };
    part.content = match encoding.as_str() {
        "" | "binary" | "8bit" | "7bit" => content,
        "base64" => {
            let text: Vec<u8> = content.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
            BASE64_STANDARD.decode(text).map_err(|_| FormError::NotBase64)?.into()
        }
        _ => return Err(FormError::TransferEncoding),
    };
    Ok(part)
}

/// A parameter of a header's value, by its name in lower case, whatever the case that it comes in. `name*` (RFC 8187)
/// counts as `name`.
fn parameter(value: &str, wanted: &str) -> Option<String> {
    let (_, mut rest) = value.split_once(';')?;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        let (name, after) = rest.split_once('=')?;
        // A word without a value before it.
        let name = name.rsplit(';').next().unwrap_or(name).trim().to_ascii_lowercase();
        let (text, after) = parameter_value(after.trim_start());
        if name == wanted {
            return Some(text);
        }
        if name.strip_suffix('*') == Some(wanted) {
            let encoded = text.splitn(3, '\'').nth(2).unwrap_or(&text);
            return Some(percent_decode_str(encoded).decode_utf8_lossy().into_owned());
        }
        rest = after;
    }
}

/// A parameter's value at the beginning of a text, and what follows it. In quotes, a backslash escapes a quote and
/// itself; before anything else it is part of a path, as some clients send the file's name.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        return (text[..end].trim_end().to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => {
                let escaped = characters.next_if(|(_, next)| matches!(next, '"' | '\\'));
                value.push(escaped.map_or('\\', |(_, escaped)| escaped));
            }
            _ => value.push(character),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> Result<Vec<Part>, FormError> {
        parts(&Bytes::copy_from_slice(body), "x")
    }

    fn named(name: &str, content: &'static [u8]) -> Part {
        Part { name: name.to_owned(), content: Bytes::from_static(content), ..Part::default() }
    }

    #[test]
    fn the_boundary_is_found_in_any_clothes() {
        for (content_type, expected) in [
            ("multipart/form-data; boundary=x", Some("x")),
            ("multipart/form-data;charset=utf-8;Boundary=\"a b;c\"", Some("a b;c")),
            (
                "Multipart/Form-Data ; BOUNDARY = ----WebKitFormBoundary7MA4 ; x",
                Some("----WebKitFormBoundary7MA4"),
            ),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=\"\"", None),
        ] {
            assert_eq!(boundary(content_type).as_deref(), expected, "{content_type}");
        }
        assert_eq!(boundary(&format!("multipart/form-data; boundary={}", "x".repeat(257))), None);
    }

    #[test]
    fn names_and_files_are_found_however_they_are_written() {
        for (disposition, name, file_name) in [
            (r#"form-data; name="image"; filename="a.png""#, "image", Some("a.png")),
            (r#"form-data; Name="image"; FileName="a.png""#, "image", Some("a.png")),
            ("form-data; name=image; filename=a.png", "image", Some("a.png")),
            (r#"form-data; filename="a; name=b"; name="image""#, "image", Some("a; name=b")),
            (r#"form-data; name="image"; filename="a\"b\\c.png""#, "image", Some(r#"a"b\c.png"#)),
            (r#"form-data; name="image"; filename="C:\pictures\a.png""#, "image", Some(r"C:\pictures\a.png")),
            (r#"form-data; name="image"; filename*=UTF-8''gr%C3%B6%C3%9Fe.png"#, "image", Some("größe.png")),
            (r#"form-data; name="image"; filename="größe.png""#, "image", Some("größe.png")),
            (r#"form-data; name="image"; filename="""#, "image", Some("")),
            (r#"form-data ;name = "image" "#, "image", None),
            (r#"attachment; name="image""#, "image", None),
            (r#"form-data; x; name="image""#, "image", None),
            (r#"form-data; name="im"#, "im", None),
            ("form-data", "", None),
            ("", "", None),
        ] {
            let body = format!("--x\r\ncontent-disposition: {disposition}\r\n\r\nGIF\r\n--x--\r\n");
            let parts = read(body.as_bytes()).expect("a form");
            let file_name = file_name.map(str::to_owned);
            assert_eq!(parts, [Part { file_name, ..named(name, b"GIF") }], "{disposition}");
        }
    }

    #[test]
    fn a_form_is_read_whatever_surrounds_and_ends_its_lines() {
        let one = named("a", b"1");
        for body in [
            &b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--\r\n"[..],
            b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--",
            b"--x\nContent-Disposition: form-data; name=a\n\n1\n--x--\n",
            b"\r\n--x\r\nCONTENT-DISPOSITION:form-data;name=a\r\n\r\n1\r\n--x--\r\n",
            b"A form follows.\r\n--x\r\ncontent-disposition: form-data; name=a\r\n\r\n1\r\n--x--\r\nIt has ended.\r\n--x\r\n",
            b"--x  \t\r\ncontent-disposition: form-data;\r\n  name=a\r\n\r\n1\r\n--x--\r\n",
            b"--x\r\nX-Other: 1\r\ncontent-disposition: form-data; name=a\r\nnonsense\r\n\r\n1\r\n--x--\r\n",
            b"--x\r\ncontent-disposition: form-data; name=a\r\nContent-Transfer-Encoding: Binary\r\n\r\n1\r\n--x--\r\n",
            b"--x\r\ncontent-disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64\r\n\r\nMQ\r\n==\r\n\r\n--x--\r\n",
        ] {
            let shown = String::from_utf8_lossy(body);
            assert_eq!(read(body).as_deref(), Ok(&[one.clone()][..]), "{shown}");
        }
    }

    #[test]
    fn a_file_keeps_what_only_looks_like_the_end_of_it() {
        let content: &[u8] = b"\r\n--xy\r\n--x-\r\n-x\n--x\n --x\r\n--x--no\r";
        // Of these, `--x--no` is the end: what follows the last delimiter on its line does not count.
        let end = content.len() - b"\r\n--x--no\r".len();
        let body = [b"--x\r\ncontent-disposition: form-data; name=a\r\n\r\n", content].concat();
        assert_eq!(read(&body).expect("a form")[0].content, content[..end]);
        let body = b"--x\r\ncontent-disposition: form-data; name=a\r\n\r\nends in CR\r\r\n--x--\r\n";
        assert_eq!(read(body).expect("a form")[0].content, &b"ends in CR\r"[..]);
    }

    #[test]
    fn parts_keep_their_order_and_may_be_empty_or_nameless() {
        let body =
            b"--x\r\ncontent-disposition: form-data; name=a\r\ncontent-type: Image/PNG; q=1\r\n\r\n\r\n\
                     --x\r\n\r\nnameless\r\n--x\r\ncontent-disposition: form-data; name=c\r\n\r\n3\r\n--x--";
        let parts = read(body).expect("a form");
        let typed = Part { content_type: "image/png".to_owned(), ..named("a", b"") };
        assert_eq!(parts, [typed, named("", b"nameless"), named("c", b"3")]);
        assert_eq!(read(b"--x--\r\n"), Ok(Vec::new()));
        let bare =
            read(b"--x\r\n\r\n--x\r\ncontent-disposition: form-data; name=a\r\n--x--").expect("a form");
        assert_eq!(bare, [named("", b""), named("a", b"")]);
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let encoded = |encoding: &str| {
            format!("--x\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n===\r\n--x--").into_bytes()
        };
        let many = b"--x\r\n\r\n\r\n".repeat(MOST_PARTS + 1);
        let long = [&b"--x\r\na: "[..], &b"b".repeat(MOST_HEADERS), b"\r\n\r\n1\r\n--x--"].concat();
        for (body, error) in [
            (&b""[..], FormError::Incomplete),
            (b"--y\r\n\r\n\r\n--y--", FormError::Incomplete),
            (b"--x\r\ncontent-disposition: form-data; name=a\r\n\r\ncut o", FormError::Incomplete),
            (b"a line--x\r\n\r\n\r\n", FormError::Incomplete),
            (&[&many[..], b"--x--"].concat(), FormError::TooManyParts),
            (&long, FormError::LongHeaders),
            (&encoded("base64"), FormError::NotBase64),
            (&encoded("quoted-printable"), FormError::TransferEncoding),
        ] {
            assert_eq!(read(body), Err(error), "{}", String::from_utf8_lossy(&body[..body.len().min(80)]));
        }
    }
}
