//! What rows are written in, on their way in and on their way out.

use raftduck_wire::http::media;

/// A format of rows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Format {
    /// In: an array of row objects, or one row object. Out: a [`raftduck_wire::http::SqlAnswer`].
    Json,
    /// One row object a line.
    Ndjson,
    /// RFC 4180 with a header row; an empty cell is NULL, a quoted empty one is ''.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}

impl Format {
    /// In the order of preference where the client has none.
    pub const ALL: [Self; 4] = [Self::Json, Self::Ndjson, Self::Csv, Self::Arrow];

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => media::JSON,
            Self::Ndjson => media::NDJSON,
            Self::Csv => media::CSV,
            Self::Arrow => media::ARROW,
        }
    }

    /// The format of a body of this media type, in lower case and without parameters.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type {
            // No name of NDJSON is registered, and clients send these too.
            "application/ndjson" | "application/jsonl" => Some(Self::Ndjson),
            _ => Self::ALL.into_iter().find(|format| format.media_type() == media_type),
        }
    }

    /// The `Content-Type` of an answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            other => other.media_type(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_media_type_written_is_read_and_other_names_of_ndjson_too() {
        for format in Format::ALL {
            assert_eq!(Format::of_media_type(format.media_type()), Some(format));
        }
        for name in ["application/ndjson", "application/jsonl"] {
            assert_eq!(Format::of_media_type(name), Some(Format::Ndjson), "{name}");
        }
        assert_eq!(Format::of_media_type("text/plain"), None);
    }
}
