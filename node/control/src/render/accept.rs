//! Which format the client takes.

use raftduck_wire::http::media;

use crate::Format;

/// No format of ours is among those the client takes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no answer in {0}: there are {json}, {ndjson}, {csv} and {arrow}",
    json = media::JSON, ndjson = media::NDJSON, csv = media::CSV, arrow = media::ARROW)]
pub struct NotAcceptable(pub String);

/// The format that an `Accept` header wants most; JSON where there is none.
///
/// # Errors
/// Where it wants none of ours.
pub fn negotiate(accept: Option<&str>) -> Result<Format, NotAcceptable> {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else { return Ok(Format::Json) };
    let ranges: Vec<(&str, f32)> = accept.split(',').map(range).collect();
    let quality = |format: Format| {
        // RFC 9110 section 12.5.1: the most specific range that fits a type decides.
        let fitting = ranges.iter().filter_map(|(range, quality)| Some((fits(range, format)?, *quality)));
        fitting.max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))).map_or(0.0, |(_, quality)| quality)
    };
    let wanted = Format::ALL.into_iter().map(|format| (format, quality(format))).filter(|(_, quality)| *quality > 0.0);
    // Of equals the first wins.
    let best = wanted.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(format, _)| format).ok_or_else(|| NotAcceptable(accept.chars().take(200).collect()))
}

/// A media range and its quality.
fn range(text: &str) -> (&str, f32) {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().unwrap_or_default();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    (range, quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0)))
}

/// How exactly a range names a format; not at all where it is another's.
fn fits(range: &str, format: Format) -> Option<u8> {
    let known = format.media_type();
    let (kind, _) = known.split_once('/')?;
    match range.split_once('/')? {
        ("*", "*") => Some(0),
        (wanted, "*") if wanted.eq_ignore_ascii_case(kind) => Some(1),
        _ if range.eq_ignore_ascii_case(known) => Some(2),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_header_decides_and_json_is_for_those_who_do_not_care() {
        for (accept, format) in [
            (None, Format::Json),
            (Some(""), Format::Json),
            (Some("*/*"), Format::Json),
            (Some("text/html, application/xml;q=0.9, */*;q=0.8"), Format::Json),
            (Some("text/*"), Format::Csv),
            (Some("TEXT/CSV; charset=utf-8"), Format::Csv),
            (Some("application/json;q=0.5, application/x-ndjson"), Format::Ndjson),
            (Some("application/vnd.apache.arrow.stream"), Format::Arrow),
            (Some("application/json;q=0, */*;q=0.1"), Format::Ndjson),
            (Some("text/csv;q=0.4, application/json;q=0.4"), Format::Json),
        ] {
            assert_eq!(negotiate(accept).unwrap(), format, "{accept:?}");
        }
    }

    #[test]
    fn what_we_do_not_write_is_refused_with_what_we_do() {
        for accept in ["text/html", "application/json;q=0", "nonsense", "image/*", "application/json;q=x"] {
            let error = negotiate(Some(accept)).unwrap_err().to_string();
            assert!(error.contains(media::CSV) && error.contains(accept), "{error}");
        }
    }
}
