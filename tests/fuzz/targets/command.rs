//! A partition's log entries: any bytes decode or are refused, and what decodes says the same
//! when it is encoded again.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use raftduck_fuzz::write_seeds;
use raftduck_model::{
    Append, BodyDigest, Column, Command, CommandBody, KeyDigest, LogTime, Part, SchemaVersion, Table, TableId,
};

fuzz_target!(init: write_seeds(seeds()), |input: &[u8]| {
    let Ok(command) = Command::decode(Bytes::copy_from_slice(input)) else { return };
    let again = Command::decode(command.encode()).expect("an encoded command decodes");
    assert_eq!(again, command);
});

fn seeds() -> Vec<Vec<u8>> {
    let part = |key: u128, data: &'static [u8]| Part {
        key: KeyDigest(key),
        body: BodyDigest(key as u64),
        rows: 3,
        data: Bytes::from_static(data),
    };
    let append = Append {
        table: TableId(7),
        version: SchemaVersion(2),
        parts: vec![part(1, b""), part(u128::MAX, b"an Arrow record batch would stand here")],
    };
    let column = |name: &str, kind: &str, default: Option<&str>| Column {
        name: name.to_owned(),
        kind: kind.parse().expect("a known type"),
        nullable: default.is_none(),
        default: default.map(str::to_owned),
    };
    let table = Table {
        id: TableId(7),
        name: "flights".to_owned(),
        version: SchemaVersion(2),
        columns: vec![
            column("id", "BIGINT", None),
            column("price", "DECIMAL(18,3)", Some("0.5")),
            column("tags", "STRUCT(a INTEGER, b VARCHAR[])[]", None),
        ],
        key: 0,
    };
    [CommandBody::Append(append), CommandBody::SetSchema(table), CommandBody::DropTable(TableId(9))]
        .into_iter()
        .map(|body| Command { time: LogTime(1_700_000_000_000_000), body }.encode().to_vec())
        .collect()
}
