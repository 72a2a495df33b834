#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::path::Path;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, IntervalMonthDayNano, UInt8Type};
use arrow::ipc::reader::StreamReader;
use axum::http::StatusCode;
use futures::stream::BoxStream;
use raftduck_model::{Column as TableColumn, PartitionId, SchemaVersion, Table, TableId};
use raftduck_wire::http::{SqlAnswer, media};

use super::*;
use crate::ingest;
use crate::statement::Broken;

/// Every type that a table may have, as DuckDB answers it, and some that only queries have. The last row is NULL
/// throughout, the first is ordinary, those between stand at the types' ends.
fn every_type() -> RecordBatch {
    fn nulled<T>(values: [T; 3]) -> [Option<T>; 4] {
        let [a, b, c] = values;
        [Some(a), Some(b), Some(c), None]
    }
    let list = |kind: &DataType| Arc::new(Field::new("l", kind.clone(), true));
    let struct_fields = Fields::from(vec![
        Field::new("x", DataType::Int64, true),
        Field::new("Y y", DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None), true),
    ]);
    let interval = |months, days, nanoseconds| IntervalMonthDayNano { months, days, nanoseconds };
    let valid = || Some(NullBuffer::from(vec![true, true, true, false]));
    let hugeint = Decimal128Array::from_iter(nulled([1, 10_i128.pow(38) - 1, 1 - 10_i128.pow(38)]));
    let decimal = Decimal128Array::from_iter(nulled([12_345, -5, 0]));
    let lists = ListArray::new(
        list(&DataType::Utf8),
        OffsetBuffer::new(vec![0, 2, 2, 4, 4].into()),
        Arc::new(StringArray::from(vec![Some("a"), None, Some("\"b\""), Some("")])),
        valid(),
    );
    let structs = StructArray::new(
        struct_fields,
        vec![
            Arc::new(Int64Array::from(nulled([1, i64::MAX, i64::MIN]).to_vec())),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(0), None, Some(1), None])),
        ],
        valid(),
    );
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    for key in [Some("k\n"), None, Some("z")] {
        if let Some(key) = key {
            maps.keys().append_value(key);
            maps.values().append_value(7);
        }
        maps.append(true).unwrap();
    }
    maps.append(false).unwrap();
    let fixed = FixedSizeListArray::new(
        list(&DataType::Float64),
        2,
        Arc::new(Float64Array::from(vec![1.5, f64::NAN, 0.0, -0.0, 1e300, 1e-300, 0.0, 0.0])),
        valid(),
    );
    let uuid = "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633";
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("boolean", Arc::new(BooleanArray::from(nulled([true, false, true]).to_vec()))),
        ("tinyint", Arc::new(Int8Array::from(nulled([1, i8::MAX, i8::MIN]).to_vec()))),
        ("smallint", Arc::new(Int16Array::from(nulled([1, i16::MAX, i16::MIN]).to_vec()))),
        ("integer", Arc::new(Int32Array::from(nulled([1, i32::MAX, i32::MIN]).to_vec()))),
        ("bigint", Arc::new(Int64Array::from(nulled([1, i64::MAX, i64::MIN]).to_vec()))),
        ("hugeint", Arc::new(hugeint.with_precision_and_scale(38, 0).unwrap())),
        ("utinyint", Arc::new(UInt8Array::from(nulled([1, u8::MAX, 0]).to_vec()))),
        ("usmallint", Arc::new(UInt16Array::from(nulled([1, u16::MAX, 0]).to_vec()))),
        ("uinteger", Arc::new(UInt32Array::from(nulled([1, u32::MAX, 0]).to_vec()))),
        ("ubigint", Arc::new(UInt64Array::from(nulled([1, u64::MAX, 0]).to_vec()))),
        ("float", Arc::new(Float32Array::from(nulled([0.1, f32::NAN, f32::MIN_POSITIVE]).to_vec()))),
        ("double", Arc::new(Float64Array::from(nulled([0.1, f64::NEG_INFINITY, f64::MAX]).to_vec()))),
        ("decimal", Arc::new(decimal.with_precision_and_scale(9, 2).unwrap())),
        ("varchar", Arc::new(StringArray::from(nulled(["plain", "\"q\", 'a', \\ é \u{1}\r\n\t ", ""]).to_vec()))),
        ("blob", Arc::new(BinaryArray::from(nulled([b"foo".as_slice(), b"\0\xff", b""]).to_vec()))),
        ("date", Arc::new(Date32Array::from(nulled([15_736, -719_162, 11_016]).to_vec()))),
        ("time", Arc::new(Time64MicrosecondArray::from(nulled([18_000_000_000, 86_399_999_999, 0]).to_vec()))),
        ("timestamp", Arc::new(TimestampMicrosecondArray::from(nulled([1_359_608_400_000_001, -1, 0]).to_vec()))),
        (
            "interval",
            Arc::new(IntervalMonthDayNanoArray::from(
                nulled([interval(14, 3, 14_706_000_000_000), interval(0, 0, 0), interval(-1, 0, 0)]).to_vec(),
            )),
        ),
        ("uuid", Arc::new(StringArray::from(nulled([uuid, uuid, "00000000-0000-0000-0000-000000000000"]).to_vec()))),
        ("list", Arc::new(lists)),
        ("struct", Arc::new(structs)),
        ("map", Arc::new(maps.finish())),
        ("array", Arc::new(fixed)),
        (
            "enum",
            Arc::new(
                vec![Some("on"), Some("off"), Some("on"), None].into_iter().collect::<DictionaryArray<UInt8Type>>(),
            ),
        ),
        ("timestamp_ns", Arc::new(TimestampNanosecondArray::from(nulled([1, -1, 0]).to_vec()))),
        ("timestamp_s", Arc::new(TimestampSecondArray::from(nulled([1, -1, 0]).to_vec()))),
        ("null", Arc::new(NullArray::new(4))),
    ];
    let field = |(name, array): &(&str, ArrayRef)| {
        let field = Field::new(*name, array.data_type().clone(), true);
        match *name {
            "uuid" => field.with_metadata(HashMap::from([(TYPE_KEY.to_owned(), "UUID".to_owned())])),
            _ => field,
        }
    };
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, array)| array).collect()).unwrap()
}

fn coverage(missing: &[u32]) -> Coverage {
    Coverage { total_nodes: 3, responding_nodes: 2, missing: missing.iter().copied().map(PartitionId).collect() }
}

fn answer(batches: Vec<RecordBatch>, end: Option<Result<Piece, Broken>>, missing: &[u32]) -> Answer {
    let schema = batches[0].schema();
    let pieces: Vec<_> = batches.into_iter().map(|batch| Ok(Piece::Rows(batch))).chain(end).collect();
    let pieces: BoxStream<'static, _> = stream::iter(pieces).boxed();
    Answer { schema, coverage: coverage(missing), pieces }
}

const END: Option<Result<Piece, Broken>> = Some(Ok(Piece::End { truncated: false }));

/// The body's bytes, its trailer, and whether it ended as it should.
async fn body(answer: Answer, format: Format, numbers: Numbers) -> (Vec<u8>, Option<HeaderMap>, bool) {
    let mut body = respond(answer, format, numbers, Instant::now()).unwrap().into_body();
    let (mut bytes, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(data)) => bytes.extend(data),
            Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
            Err(_) => return (bytes, trailers, false),
        }
    }
    (bytes, trailers, true)
}

/// Compares with a file beside this one; `RAFTDUCK_BLESS=1` writes it instead. Cargo runs tests in their package's
/// folder.
fn golden(name: &str, found: &[u8]) {
    let path = Path::new("src/render/golden").join(name);
    if std::env::var_os("RAFTDUCK_BLESS").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let wanted = std::fs::read(&path).unwrap();
    assert_eq!(String::from_utf8_lossy(found), String::from_utf8_lossy(&wanted), "{name}");
}

/// The answer without the one field that no two runs share.
fn timeless(json: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(json).unwrap();
    let (before, after) = text.split_once("\"elapsed_ms\":").unwrap();
    let rest = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    format!("{before}\"elapsed_ms\":0.0{rest}").into_bytes()
}

#[tokio::test]
async fn every_type_has_its_golden_text() {
    for (name, format, numbers) in [
        ("answer.json", Format::Json, Numbers::Number),
        ("answer-strings.json", Format::Json, Numbers::String),
        ("answer.ndjson", Format::Ndjson, Numbers::Number),
        ("answer.csv", Format::Csv, Numbers::Number),
    ] {
        let (bytes, _, whole) = body(answer(vec![every_type()], END, &[]), format, numbers).await;
        assert!(whole);
        let bytes = if format == Format::Json { timeless(bytes) } else { bytes };
        golden(name, &bytes);
    }
}

#[tokio::test]
async fn the_json_is_the_api_s_answer_whatever_the_batches() {
    let rows = every_type();
    let (head, tail) = (rows.slice(0, 1), rows.slice(1, 3));
    let empty = rows.slice(0, 0);
    let (bytes, _, _) = body(answer(vec![empty, head, tail], END, &[4, 7]), Format::Json, Numbers::Number).await;
    let read: SqlAnswer = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((read.row_count, read.rows.len(), read.columns.len()), (4, 4, rows.num_columns()));
    assert_eq!((read.is_partial, read.total_nodes, read.responding_nodes), (true, 3, 2));
    assert_eq!((read.missing_partitions, read.truncated), (vec![4, 7], false));
    assert_eq!(read.rows[1][4], serde_json::json!(i64::MAX));
    assert_eq!(read.columns[19].kind, "UUID");
}

#[tokio::test]
async fn an_answer_without_rows_is_whole_and_says_when_it_was_cut_short() {
    let none = every_type().slice(0, 0);
    let end = Some(Ok(Piece::End { truncated: true }));
    let (bytes, _, whole) = body(answer(vec![none], end, &[]), Format::Json, Numbers::Number).await;
    let read: SqlAnswer = serde_json::from_slice(&bytes).unwrap();
    assert!(whole && read.truncated && read.rows.is_empty());
}

#[tokio::test]
async fn the_arrow_stream_holds_the_very_rows_and_the_trailer_their_number() {
    let rows = every_type();
    let (bytes, trailers, whole) = body(answer(vec![rows.clone()], END, &[]), Format::Arrow, Numbers::Number).await;
    assert!(whole);
    let mut reader = StreamReader::try_new(bytes.as_slice(), None).unwrap();
    let read = reader.next().unwrap().unwrap();
    assert_eq!(format!("{read:?}"), format!("{rows:?}"));
    assert!(reader.next().is_none());
    assert_eq!(trailers.unwrap().get(http::header::ROW_COUNT).unwrap(), "4");
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_ends_as_if_it_were_whole() {
    for end in [Some(Err(Broken("the store was lost".to_owned()))), None] {
        for format in [Format::Json, Format::Ndjson, Format::Csv, Format::Arrow] {
            let (bytes, trailers, whole) =
                body(answer(vec![every_type()], end.clone(), &[]), format, Numbers::Number).await;
            assert!(!bytes.is_empty() && !whole && trailers.is_none(), "{format:?}");
        }
    }
}

#[tokio::test]
async fn missing_partitions_stand_in_a_header_where_the_body_cannot_say_them() {
    let response = respond(answer(vec![every_type()], END, &[2, 3]), Format::Csv, Numbers::Number, Instant::now());
    let response = response.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers().get(MISSING_PARTITIONS).unwrap(), "2,3");
    assert!(response.headers().get(header::CONTENT_TYPE).unwrap().to_str().unwrap().starts_with(media::CSV));
}

/// What a table may hold goes out and comes in again the same.
#[tokio::test]
async fn rows_sent_back_are_the_same_rows() {
    let rows = every_type();
    let kinds = [
        "BOOLEAN",
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "HUGEINT",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
        "FLOAT",
        "DOUBLE",
        "DECIMAL(9,2)",
        "VARCHAR",
        "BLOB",
        "DATE",
        "TIME",
        "TIMESTAMP",
        "INTERVAL",
        "UUID",
        "VARCHAR[]",
        "STRUCT(x BIGINT, \"Y y\" TIMESTAMP)",
    ];
    let schema = rows.schema();
    let columns = kinds.iter().zip(schema.fields()).map(|(kind, field)| TableColumn {
        name: field.name().clone(),
        kind: kind.parse().unwrap(),
        nullable: true,
        default: None,
    });
    let columns: Vec<TableColumn> = columns.collect();
    let table = Table { id: TableId(1), name: "t".to_owned(), version: SchemaVersion(1), columns, key: 0 };
    let wanted = raftduck_engine::arrow_schema::of_table(&table);
    let rows = rows.project(&(0..kinds.len()).collect::<Vec<_>>()).unwrap();
    let conformed = table.columns.iter().zip(rows.columns());
    let conformed = conformed.map(|(c, array)| raftduck_engine::arrow_schema::conform(array, &c.kind).unwrap());
    let conformed = RecordBatch::try_new(wanted.clone(), conformed.collect()).unwrap();
    for format in [Format::Ndjson, Format::Csv] {
        for sent in [&rows, &conformed] {
            let (bytes, _, _) = body(answer(vec![sent.clone()], END, &[]), format, Numbers::Number).await;
            let read = ingest::read(format, &bytes.into(), &table, wanted.clone()).unwrap();
            assert_eq!(format!("{read:?}"), format!("{conformed:?}"), "{format:?}");
        }
    }
}

#[test]
fn a_type_without_a_text_is_an_error_before_anything_is_sent() {
    let kind = DataType::RunEndEncoded(
        Arc::new(Field::new("run_ends", DataType::Int32, false)),
        Arc::new(Field::new("values", DataType::Int32, true)),
    );
    let schema = Arc::new(Schema::new(vec![Field::new("odd", kind, true)]));
    let answer = Answer { schema, coverage: coverage(&[]), pieces: stream::empty().boxed() };
    let error = respond(answer, Format::Json, Numbers::Number, Instant::now()).unwrap_err();
    assert!(error.to_string().contains("odd"), "{error}");
}
