#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> String {
    match text.parse::<ColumnType>() {
        Ok(kind) => kind.to_string(),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn types_print_as_duckdb_prints_them() {
    for (text, expected) in [
        ("int", "INTEGER"),
        ("TEXT", "VARCHAR"),
        ("varchar(10)", "VARCHAR"),
        ("double precision", "DOUBLE"),
        ("float(30)", "DOUBLE"),
        ("numeric", "DECIMAL(18,3)"),
        ("dec(5)", "DECIMAL(5,0)"),
        ("DECIMAL(38, 38)", "DECIMAL(38,38)"),
        ("oid", "BIGINT"),
        ("timestamp_ms", "TIMESTAMP"),
        ("TIMESTAMP(3)", "TIMESTAMP"),
        ("timestamp without time zone", "TIMESTAMP"),
        ("int ARRAY[]", "INTEGER[][]"),
        ("row(a int)", "STRUCT(a INTEGER)"),
        (
            "STRUCT(a int, \"b c\" text, \"x\"\"y\" int[], type int)[]",
            "STRUCT(a INTEGER, \"b c\" VARCHAR, \"x\"\"y\" INTEGER[], \"type\" INTEGER)[]",
        ),
    ] {
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn what_a_table_cannot_have_is_refused_with_advice() {
    let zoned =
        "error: TIMESTAMP WITH TIME ZONE is not supported: store UTC in TIMESTAMP; offsets are converted at ingest";
    assert_eq!(read("timestamptz"), zoned);
    assert_eq!(read("TIMESTAMP WITH TIME ZONE"), zoned);
    for text in [
        "TIMESTAMP_NS",
        "TIMESTAMP(9)",
        "TIMETZ",
        "ENUM('a', 'b')",
        "MAP(INTEGER, VARCHAR)",
        "UNION(a INTEGER)",
        "JSON",
        "UHUGEINT",
        "BIT",
        "VARIANT",
        "GEOMETRY",
        "BIGNUM",
        "INTEGER[3]",
        "STRUCT(a JSON)",
    ] {
        assert!(read(text).contains("is not supported: "), "{text}: {}", read(text));
    }
    for text in
        ["", "nonsense", "DECIMAL(39,0)", "DECIMAL(3,4)", "STRUCT()", "STRUCT(a int, A int)", "INTEGER x", "INTEGER["]
    {
        assert!(read(text).starts_with("error: "), "{text}: {}", read(text));
    }
}

#[test]
fn nesting_and_length_are_bounded() {
    assert!(format!("INT{}", "[]".repeat(MAX_NESTING)).parse::<ColumnType>().is_ok());
    assert_eq!(format!("INT{}", "[]".repeat(MAX_NESTING + 1)).parse::<ColumnType>(), Err(TypeError::TooDeep));
    let structs = format!("{}INT{}", "STRUCT(a ".repeat(10_000 / 2), ")".repeat(5_000));
    assert_eq!(structs.parse::<ColumnType>(), Err(TypeError::TooDeep));
    assert_eq!(" ".repeat(MAX_TYPE_BYTES + 1).parse::<ColumnType>(), Err(TypeError::TooLong));
}

fn any_type() -> impl Strategy<Value = ColumnType> {
    let scalars = "BOOLEAN TINYINT SMALLINT INTEGER BIGINT HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT FLOAT DOUBLE VARCHAR \
                   BLOB DATE TIME TIMESTAMP INTERVAL UUID DECIMAL(9,2)";
    let scalars: Vec<ColumnType> = scalars.split_whitespace().map(|text| text.parse().unwrap()).collect();
    prop::sample::select(scalars).prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|item| ColumnType::List(Box::new(item))),
            prop::collection::btree_map("[a-z\" é1]{1,6}", inner, 1..4)
                .prop_map(|fields| ColumnType::Struct(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(kind in any_type()) {
        prop_assert_eq!(kind.to_string().parse::<ColumnType>().unwrap(), kind);
    }

    #[test]
    fn garbage_is_an_error_and_no_panic(text in ".{0,40}", typed in "[A-Z(),\\[\\]\" 0-9é]{0,40}") {
        let _ = text.parse::<ColumnType>();
        let _ = typed.parse::<ColumnType>();
    }
}
