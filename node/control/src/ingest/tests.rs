#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, TimeUnit};
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;
use raftduck_model::{Column, SchemaVersion, TableId};

use super::*;

/// The forms the engine's Arrow schema has; only tests need them here.
fn data_type(kind: &raftduck_model::ColumnType) -> DataType {
    use raftduck_model::ColumnType as T;
    match kind {
        T::Boolean => DataType::Boolean,
        T::TinyInt => DataType::Int8,
        T::SmallInt => DataType::Int16,
        T::Integer => DataType::Int32,
        T::BigInt => DataType::Int64,
        T::UTinyInt => DataType::UInt8,
        T::USmallInt => DataType::UInt16,
        T::UInteger => DataType::UInt32,
        T::UBigInt => DataType::UInt64,
        T::HugeInt => DataType::Decimal128(38, 0),
        T::Float => DataType::Float32,
        T::Double => DataType::Float64,
        T::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale as i8),
        T::Varchar => DataType::Utf8,
        T::Blob => DataType::Binary,
        T::Date => DataType::Date32,
        T::Time => DataType::Time64(TimeUnit::Microsecond),
        T::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        T::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        T::Uuid => DataType::FixedSizeBinary(16),
        T::List(item) => DataType::List(Arc::new(Field::new("item", data_type(item), true))),
        T::Struct(fields) => {
            DataType::Struct(fields.iter().map(|(name, kind)| Field::new(name, data_type(kind), true)).collect())
        }
    }
}

fn table(columns: &[(&str, &str)]) -> (Table, SchemaRef) {
    let columns: Vec<Column> = columns
        .iter()
        .map(|(name, kind)| {
            let nullable = !kind.ends_with(" NOT NULL");
            let (kind, default) = kind.trim_end_matches(" NOT NULL").split_once(" DEFAULT ").unzip();
            let text = columns.iter().find(|(other, _)| other == name).unwrap().1.trim_end_matches(" NOT NULL");
            Column {
                name: (*name).to_owned(),
                kind: kind.unwrap_or(text).parse().unwrap(),
                nullable,
                default: default.map(str::to_owned),
            }
        })
        .collect();
    let fields: Vec<Field> = columns.iter().map(|c| Field::new(&c.name, data_type(&c.kind), c.nullable)).collect();
    let table = Table { id: TableId(1), name: "t".to_owned(), version: SchemaVersion(1), columns, key: 0 };
    (table, Arc::new(Schema::new(fields)))
}

fn try_read(format: Format, columns: &[(&str, &str)], body: impl AsRef<[u8]>) -> Result<Vec<String>, IngestError> {
    let (table, schema) = table(columns);
    let batch = read(format, &Bytes::copy_from_slice(body.as_ref()), &table, schema)?;
    Ok((0..batch.num_rows())
        .map(|row| {
            let show = |column: &arrow::array::ArrayRef| match column.is_null(row) {
                true => "NULL".to_owned(),
                false => array_value_to_string(column, row).unwrap(),
            };
            batch.columns().iter().map(show).collect::<Vec<_>>().join("|")
        })
        .collect())
}

#[test]
fn the_extremes_of_every_integer_type_arrive_exactly_and_one_beyond_is_refused() {
    for (kind, least, most, below, above) in [
        ("TINYINT", "-128", "127", "-129", "128"),
        ("SMALLINT", "-32768", "32767", "-32769", "32768"),
        ("INTEGER", "-2147483648", "2147483647", "-2147483649", "2147483648"),
        ("BIGINT", "-9223372036854775808", "9223372036854775807", "-9223372036854775809", "9223372036854775808"),
        ("UTINYINT", "0", "255", "-1", "256"),
        ("USMALLINT", "0", "65535", "-1", "65536"),
        ("UINTEGER", "0", "4294967295", "-1", "4294967296"),
        ("UBIGINT", "0", "18446744073709551615", "-1", "18446744073709551616"),
    ] {
        for format in ["[{\"a\":X}]", "[{\"a\":\"X\"}]"] {
            for value in [least, most] {
                assert_eq!(
                    try_read(Format::Json, &[("a", kind)], format.replace('X', value)).unwrap(),
                    [value],
                    "{kind}"
                );
            }
            for value in [below, above, "1.5"] {
                let error = try_read(Format::Json, &[("a", kind)], format.replace('X', value)).unwrap_err();
                assert!(matches!(error, IngestError::Value { row: 1, .. }), "{kind} {value}: {error}");
            }
        }
    }
}

#[test]
fn numbers_never_pass_through_a_double() {
    let columns = [("a", "BIGINT"), ("b", "HUGEINT"), ("c", "DECIMAL(38,10)")];
    let body =
        r#"{"a":9007199254740993,"b":12345678901234567890123456789012345678,"c":1234567890123456789.0123456789}"#;
    let rows = try_read(Format::Ndjson, &columns, body).unwrap();
    assert_eq!(rows, ["9007199254740993|12345678901234567890123456789012345678|1234567890123456789.0123456789"]);
}

#[test]
fn every_type_is_read_from_json() {
    for (kind, json, shown) in [
        ("BOOLEAN", "true", "true"),
        ("FLOAT", "1.5", "1.5"),
        ("DOUBLE", "-1e-3", "-0.001"),
        ("DOUBLE", "\"NaN\"", "NaN"),
        ("DOUBLE", "\"-Infinity\"", "-inf"),
        ("DECIMAL(5,2)", "\"1.005\"", "1.01"),
        ("VARCHAR", r#""a\n\"é""#, "a\n\"é"),
        ("VARCHAR", "\"\"", ""),
        ("VARCHAR", r#"{"k": [1]}"#, r#"{"k": [1]}"#),
        ("BLOB", "\"AAH/\"", "0001ff"),
        ("DATE", "\"2024-02-29\"", "2024-02-29"),
        ("TIME", "\"12:34:56.789012\"", "12:34:56.789012"),
        ("TIMESTAMP", "\"2024-01-01T01:00:00+01:00\"", "2024-01-01T00:00:00"),
        ("UUID", "\"7d444840-9dc0-11d1-b245-5ffdce74fad2\"", "7d4448409dc011d1b2455ffdce74fad2"),
        ("INTEGER[]", "[1,null,3]", "[1, , 3]"),
        ("STRUCT(x INTEGER, y VARCHAR[])", r#"{"y":["a"],"X":1}"#, "{x: 1, y: [a]}"),
        ("INTEGER", "null", "NULL"),
    ] {
        let rows = try_read(Format::Json, &[("a", kind)], format!("[{{\"a\":{json}}}]"));
        assert_eq!(rows.as_deref(), Ok(&[shown.to_owned()][..]), "{kind} {json}");
    }
}

#[test]
fn blobs_are_base64_with_padding_and_nothing_else() {
    let read = |text: &str| try_read(Format::Json, &[("a", "BLOB")], serde_json::json!([{"a": text}]).to_string());
    // RFC 4648 section 10.
    for (text, shown) in [
        ("", ""),
        ("Zg==", "66"),
        ("Zm8=", "666f"),
        ("Zm9v", "666f6f"),
        ("Zm9vYg==", "666f6f62"),
        ("Zm9vYmFy", "666f6f626172"),
    ] {
        assert_eq!(read(text).as_deref(), Ok(&[shown.to_owned()][..]), "{text}");
    }
    // The third one's last bits say something that its byte does not.
    for text in ["Z", "Zg", "Zh==", "Zg=", "====", "Z===", "Zg==Zg==", "Zm9v\n", "Zm-_"] {
        assert!(matches!(read(text), Err(IngestError::Value { row: 1, .. })), "{text}");
    }
}

#[test]
fn an_error_names_row_column_and_what_was_found() {
    let columns = [("id", "INTEGER"), ("delay", "INTEGER")];
    let body = r#"[{"id":1,"delay":1},{"id":2},{"id":3,"delay":"abc"}]"#;
    let error = try_read(Format::Json, &columns, body).unwrap_err();
    assert_eq!(error.to_string(), r#"row 3, column "delay": "abc" is not INTEGER"#);
    let error = try_read(Format::Csv, &columns, "id,delay\n1,1\n2,abc\n").unwrap_err();
    assert_eq!(error.to_string(), r#"row 2, column "delay": "abc" is not INTEGER"#);
    let error = try_read(Format::Ndjson, &[("t", "TIMESTAMP")], r#"{"t":1704110400}"#).unwrap_err();
    assert!(error.to_string().contains("2026-01-31T12:00:00Z"), "{error}");
}

#[test]
fn bad_values_are_refused() {
    for (kind, json) in [
        ("BOOLEAN", "1"),
        ("BOOLEAN", "\"yes\""),
        ("INTEGER", "true"),
        ("INTEGER", "\"\""),
        ("INTEGER", "[1]"),
        ("DOUBLE", "1e999"),
        ("FLOAT", "1e39"),
        ("DECIMAL(3,1)", "100"),
        ("BLOB", "\"no base64!\""),
        ("DATE", "20240101"),
        ("UUID", "\"7d44\""),
        ("INTEGER[]", "1"),
        ("INTEGER[]", "[\"x\"]"),
        ("INTEGER[]", "{}"),
        ("STRUCT(x INTEGER)", r#"{"z":1}"#),
        ("STRUCT(x INTEGER)", r#"{"x":1,"X":2}"#),
        ("STRUCT(x INTEGER)", "[]"),
    ] {
        let error = try_read(Format::Json, &[("a", kind)], format!("[{{\"a\":{json}}}]")).unwrap_err();
        assert!(matches!(error, IngestError::Value { row: 1, .. }), "{kind} {json}: {error}");
    }
}

#[test]
fn rows_that_do_not_fit_the_table_are_refused() {
    let columns = [("a", "INTEGER NOT NULL"), ("b", "INTEGER")];
    for (body, said) in [
        (r#"[{"a":1,"c":2}]"#, "it has a, b"),
        (r#"[{"a":null}]"#, "NOT NULL"),
        (r#"[{"b":1}]"#, "leaves it out"),
        (r#"[{"a":1,"A":2}]"#, "twice"),
        (r#"[{"a":1}"#, "JSON array of objects"),
        (r#"[{"a":1}] x"#, "JSON array of objects"),
        (r#"[1]"#, "JSON array of objects"),
        ("", "JSON array of objects"),
        ("\"a\"", "JSON array of objects"),
    ] {
        let error = try_read(Format::Json, &columns, body).unwrap_err();
        assert!(error.to_string().contains(said), "{body}: {error}");
    }
}

#[test]
fn columns_left_out_get_their_defaults() {
    let columns = [("a", "INTEGER"), ("b", "VARCHAR DEFAULT 'it''s'"), ("c", "INTEGER DEFAULT CAST('7' AS INTEGER)")];
    assert_eq!(try_read(Format::Json, &columns, r#"[{"a":1},{"b":null,"c":2}]"#).unwrap(), ["1|it's|7", "NULL|NULL|2"]);
}

#[test]
fn csv_tells_null_from_empty_text() {
    let columns = [("a", "VARCHAR"), ("b", "VARCHAR")];
    let body = "\u{feff}b,a\r\n\"x,\n\"\"y\"\"\",1\r\n,\"\"\r\n\r\n2,z";
    assert_eq!(try_read(Format::Csv, &columns, body).unwrap(), ["1|x,\n\"y\"", "|NULL", "z|2"]);
    for (body, said) in
        [("", "header"), ("a\n1,2", "2 cells"), ("a\n\"1", "closing"), ("a\n\"1\"2", "after"), ("x\n1", "no column")]
    {
        let error = try_read(Format::Csv, &columns, body).unwrap_err();
        assert!(error.to_string().contains(said), "{body}: {error}");
    }
}

#[test]
fn invalid_utf8_is_refused_in_every_text_format() {
    for format in [Format::Json, Format::Ndjson, Format::Csv] {
        let error = try_read(format, &[("a", "VARCHAR")], b"a\n\xff").unwrap_err();
        assert!(error.to_string().contains("not UTF-8 at byte 2"), "{error}");
    }
}

#[test]
fn deep_json_is_refused_and_ends_nothing() {
    for depth in [limits::JSON_DEPTH + 1, 100_000] {
        let body = format!("[{{\"a\":{}{}}}]", "[".repeat(depth), "]".repeat(depth));
        let error = try_read(Format::Json, &[("a", "VARCHAR")], body).unwrap_err();
        assert!(error.to_string().contains("deep"), "{error}");
    }
    assert!(try_read(Format::Json, &[("a", "VARCHAR")], "[".repeat(1_000_000)).is_err());
}

#[test]
fn ten_thousand_unknown_columns_give_a_short_error() {
    let body = format!("{{{}}}", (0..10_000).map(|c| format!("\"c{c}\":1")).collect::<Vec<_>>().join(","));
    let error = try_read(Format::Ndjson, &[("a", "INTEGER")], body).unwrap_err();
    assert!(error.to_string().len() < 200, "{error}");
}

#[test]
fn empty_rows_cannot_take_memory_beyond_the_bound() {
    let names: Vec<String> = (0..limits::COLUMNS).map(|c| format!("c{c}")).collect();
    let columns: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "BIGINT")).collect();
    let error = try_read(Format::Ndjson, &columns, "{}\n".repeat(40_000)).unwrap_err();
    assert!(matches!(error, IngestError::TooLarge { .. }), "{error}");
}

#[test]
fn one_cell_of_many_empty_structs_cannot_take_memory_beyond_the_bound() {
    let fields: Vec<String> = (0..1_000).map(|field| format!("f{field} BIGINT")).collect();
    let kind = format!("STRUCT({})[]", fields.join(", "));
    let body = format!("{{\"a\":[{}{{}}]}}", "{},".repeat(100_000));
    let error = try_read(Format::Ndjson, &[("a", &kind)], body).unwrap_err();
    assert_eq!(error, IngestError::TooLarge { row: 1 });
}

proptest! {
    #[test]
    fn no_body_makes_reading_panic(body in any::<Vec<u8>>(), text in ".{0,200}") {
        for format in [Format::Json, Format::Ndjson, Format::Csv] {
            let _ = try_read(format, &[("a", "INTEGER"), ("b", "VARCHAR[]")], &body);
            let _ = try_read(format, &[("a", "INTEGER"), ("b", "VARCHAR[]")], &text);
            let _ = try_read(format, &[("a", "INTEGER"), ("b", "VARCHAR[]")], format!("[{{\"a\":{text}}}]"));
        }
    }

    #[test]
    fn text_comes_back_from_csv_and_json_as_it_was(value in "\\PC{1,40}") {
        let csv = format!("a\n\"{}\"\n", value.replace('"', "\"\""));
        prop_assert_eq!(try_read(Format::Csv, &[("a", "VARCHAR")], csv).unwrap(), [value.clone()]);
        let json = serde_json::json!([{ "a": value }]).to_string();
        prop_assert_eq!(try_read(Format::Json, &[("a", "VARCHAR")], json).unwrap(), [value]);
    }
}

/// Arrow's own types do not say what they may hold.
#[test]
fn a_decimal_of_more_digits_than_its_type_is_refused_with_its_row() {
    let (table, schema) = table(&[("n", "DECIMAL(4,2)")]);
    let numbers = arrow::array::Decimal128Array::from(vec![9_999, 10_000]).with_precision_and_scale(4, 2).unwrap();
    let rows = RecordBatch::try_from_iter([("n", Arc::new(numbers) as arrow::array::ArrayRef)]).unwrap();
    let mut body = Vec::new();
    let mut writer = arrow::ipc::writer::StreamWriter::try_new(&mut body, &rows.schema()).unwrap();
    writer.write(&rows).unwrap();
    writer.finish().unwrap();
    drop(writer);
    let error = read(Format::Arrow, &body.into(), &table, schema).unwrap_err();
    assert_eq!(error.to_string(), "row 2, column \"n\": it has more than 4 digits");
}
