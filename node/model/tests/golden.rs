//! What is on volumes and on the wire, byte for byte. A difference here is a new version, not a new expectation.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::num::NonZeroU32;

use bytes::Bytes;
use proptest::prelude::*;
use raftduck_model::codec::{Reader, Write};
use raftduck_model::hash::{KeyValue, body_digest, key_digest, key_hash, partition_of};
use raftduck_model::ids::{ClusterId, LogTime};
use raftduck_model::meta::{
    Change, Location, Meta, MetaCommand, MetaError, MetaReply, RecoveredPartition, Recovery, Replica, StoreInfo,
};
use raftduck_model::{
    Append, BodyDigest, Column, Command, CommandBody, Epoch, GroupId, KeyDigest, LogId, Part, PartitionId, ReplicaId,
    SchemaVersion, StoreId, Table, TableId,
};
use uuid::Uuid;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn table() -> Table {
    let column = |name: &str, kind: &str, nullable, default: Option<&str>| Column {
        name: name.to_owned(),
        kind: kind.parse().unwrap(),
        nullable,
        default: default.map(str::to_owned),
    };
    Table {
        id: TableId(7),
        name: "t".to_owned(),
        version: SchemaVersion(2),
        columns: vec![column("k", "BIGINT", false, None), column("v", "DECIMAL(9,2)[]", true, Some("[]"))],
        key: 0,
    }
}

fn commands() -> Vec<(Command, &'static str)> {
    let part = Part { key: KeyDigest(1), body: BodyDigest(2), rows: 3, data: Bytes::from_static(b"arrow") };
    let append = Append { table: TableId(7), version: SchemaVersion(2), parts: vec![part.clone(), part] };
    let command = |body| Command { time: LogTime(1_000_000), body };
    vec![
        (command(CommandBody::Append(append)), include_str!("golden/append.hex")),
        (command(CommandBody::SetSchema(table())), include_str!("golden/set_schema.hex")),
        (command(CommandBody::DropTable(TableId(7))), include_str!("golden/drop_table.hex")),
    ]
}

#[test]
fn commands_have_these_bytes() {
    for (command, expected) in commands() {
        assert_eq!(hex(&command.encode()), expected.trim(), "{command:?}");
        assert_eq!(Command::decode(command.encode()).unwrap(), command);
    }
}

#[test]
fn a_command_cut_anywhere_or_with_more_behind_it_is_an_error() {
    for (command, _) in commands() {
        let bytes = command.encode();
        for end in 0..bytes.len() {
            assert!(Command::decode(bytes.slice(..end)).is_err(), "{end}");
        }
        assert!(Command::decode([bytes.as_ref(), &[0]].concat().into()).is_err());
    }
}

#[test]
fn a_log_position_has_these_bytes() {
    let mut out = Vec::new();
    out.put_log_id(LogId { term: 1, leader: ReplicaId(2), index: 3 });
    assert_eq!(hex(&out), "010000000000000002000000000000000300000000000000");
}

#[test]
fn meta_and_its_commands_have_this_json() {
    let store = |number| StoreId(Uuid::from_u128(number));
    let columns = table().columns;
    let commands = [
        MetaCommand::Bootstrap {
            cluster: ClusterId(Uuid::from_u128(9)),
            stores: vec![(store(1), StoreInfo::at("a:1"))],
            replicas: vec![Replica { id: ReplicaId(1), store: store(1) }],
            partitions: 1,
            replication: 1,
        },
        MetaCommand::RegisterStore { store: store(2), info: StoreInfo::at("b:1") },
        MetaCommand::PartitionCreated { partition: PartitionId(1) },
        MetaCommand::CreateTable { name: "t".to_owned(), columns: columns.clone(), key: 0, if_not_exists: true },
        MetaCommand::AddColumn {
            table: "t".to_owned(),
            column: Column { name: "w".to_owned(), ..columns[1].clone() },
            if_not_exists: false,
        },
        MetaCommand::DropTable { name: "u".to_owned(), if_exists: true },
        MetaCommand::RegisterStore { store: store(3), info: StoreInfo::at("c:1") },
        MetaCommand::LocateStore {
            store: store(2),
            location: Location { node: Some("n".to_owned()), zone: Some("z".to_owned()) },
        },
        MetaCommand::DrainStore { store: store(1), draining: true },
        MetaCommand::RetireStore { store: store(3) },
        MetaCommand::BeginChange { group: GroupId(1), add: Some(store(2)), remove: Some(ReplicaId(2)) },
        MetaCommand::EndChange {
            group: GroupId(1),
            change: Change {
                add: Some(Replica { id: ReplicaId(3), store: store(2) }),
                remove: Some(ReplicaId(2)),
                cancelled: false,
            },
            voters: vec![Replica { id: ReplicaId(3), store: store(2) }],
        },
        MetaCommand::BeginChange { group: GroupId(1), add: Some(store(1)), remove: None },
        MetaCommand::BeginChange { group: GroupId::META, add: Some(store(2)), remove: None },
        MetaCommand::CancelChange { group: GroupId::META },
        MetaCommand::CountGroups { store: store(2) },
        MetaCommand::PermitRestart { store: store(1), now: 5, until: 9 },
        MetaCommand::EndRestart { store: store(1) },
        MetaCommand::PermitRestart { store: store(2), now: 6, until: 10 },
    ];
    let mut meta = Meta::default();
    let mut lines = Vec::new();
    for command in commands {
        let json = serde_json::to_string(&command).unwrap();
        assert_eq!(serde_json::from_str::<MetaCommand>(&json).unwrap(), command);
        let reply: MetaReply = meta.apply(command).unwrap();
        lines.extend([json, serde_json::to_string(&reply).unwrap()]);
    }
    lines.push(serde_json::to_string(&meta).unwrap());
    let errors = [
        MetaError::NoSuchTable { name: "x".to_owned() },
        MetaError::Retired { store: store(3) },
        MetaError::NoSuchStore { store: store(4) },
        MetaError::TooFewStores { left: 2, copies: 3 },
        MetaError::RestartTaken { store: store(1) },
    ];
    lines.extend(errors.iter().map(|error| serde_json::to_string(error).unwrap()));
    assert_eq!(serde_json::from_str::<Meta>(&lines[lines.len() - errors.len() - 1]).unwrap(), meta);
    assert_eq!(lines.join("\n"), include_str!("golden/meta.jsonl").trim_end());
}

#[test]
fn a_recovery_has_this_json() {
    let store = StoreId(Uuid::from_u128(1));
    let replica = |id| Replica { id: ReplicaId(id), store };
    let command = MetaCommand::Recover(Recovery {
        stores: [store].into(),
        meta: replica(20),
        partitions: vec![
            RecoveredPartition { replica: replica(21), empty: false },
            RecoveredPartition { replica: replica(22), empty: true },
        ],
        tables: vec![table()],
        epoch: Epoch(30),
        catalog_version: 31,
        next_replica: ReplicaId(40),
        next_table: TableId(41),
    });
    let json = serde_json::to_string(&command).unwrap();
    assert_eq!(json, include_str!("golden/recover.json").trim_end());
    assert_eq!(serde_json::from_str::<MetaCommand>(&json).unwrap(), command);
}

/// A store of the first level is written as before there were levels.
#[test]
fn levels_have_this_json() {
    let (store, at) = (StoreId(Uuid::from_u128(1)), |level| StoreInfo { level, ..StoreInfo::at("a:1") });
    let id = "00000000-0000-0000-0000-000000000001";
    for (command, text) in [
        (
            MetaCommand::RegisterStore { store, info: at(1) },
            format!(r#"{{"do":"register_store","store":"{id}","info":{{"address":"a:1"}}}}"#),
        ),
        (
            MetaCommand::RegisterStore { store, info: at(2) },
            format!(r#"{{"do":"register_store","store":"{id}","info":{{"address":"a:1","level":2}}}}"#),
        ),
        (MetaCommand::RaiseLevel { to: 2 }, r#"{"do":"raise_level","to":2}"#.to_owned()),
    ] {
        assert_eq!(serde_json::to_string(&command).unwrap(), text);
        assert_eq!(serde_json::from_str::<MetaCommand>(&text).unwrap(), command);
    }
    for (error, text) in [
        (MetaError::WrongLevel { level: 1, cluster: 2 }, r#"{"error":"wrong_level","level":1,"cluster":2}"#.to_owned()),
        (
            MetaError::StoresBehind { level: 2, stores: vec![store] },
            format!(r#"{{"error":"stores_behind","level":2,"stores":["{id}"]}}"#),
        ),
    ] {
        assert_eq!(serde_json::to_string(&error).unwrap(), text);
        assert_eq!(serde_json::from_str::<MetaError>(&text).unwrap(), error);
    }
}

#[test]
fn a_state_from_before_replicas_moved_is_read() {
    let old = include_str!("golden/meta_before_changes.json");
    let meta: Meta = serde_json::from_str(old).unwrap();
    assert_eq!((meta.replication, meta.change, meta.partitions[0].change), (0, None, None));
    let written = serde_json::to_string(&meta).unwrap();
    assert_eq!(written.replace(r#""replication":0,"#, ""), old.trim_end());
}

#[test]
fn keys_hash_and_map_like_this() {
    let uuid = Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
    let keys = [
        KeyValue::Null,
        KeyValue::Boolean(false),
        KeyValue::Boolean(true),
        KeyValue::Integer(0),
        KeyValue::Integer(-1),
        KeyValue::Integer(42),
        KeyValue::Integer(i128::MAX),
        KeyValue::Text(""),
        KeyValue::Text("duck"),
        KeyValue::Text("Zürich"),
        KeyValue::Uuid(uuid),
        KeyValue::Date(20_778),
        KeyValue::Timestamp(1_795_264_496_123_456),
    ];
    let count = |partitions| NonZeroU32::new(partitions).unwrap();
    let mut lines: Vec<String> = keys
        .into_iter()
        .map(|key| {
            let (twelve, many) = (partition_of(key, count(12)), partition_of(key, count(512)));
            format!("{key:?} {:016x} {twelve} {many}", key_hash(key))
        })
        .collect();
    lines.push(format!("key {:032x}", key_digest(TableId(7), "order-1").0));
    lines.push(format!("body {:016x}", body_digest(b"[1,2]").0));
    assert_eq!(lines.join("\n"), include_str!("golden/hash.txt").trim_end());
    assert_ne!(key_digest(TableId(7), "a"), key_digest(TableId(8), "a"));
}

proptest! {
    #[test]
    fn garbage_is_an_error_and_no_panic(bytes in any::<Vec<u8>>(), tag in 0..5_u8) {
        let _ = Command::decode(bytes.clone().into());
        let _ = Command::decode([[1, 0, 0, 0, 0, 0, 0, 0, 0, tag].as_slice(), &bytes].concat().into());
        let mut reader = Reader::new(bytes.into());
        let _ = reader.log_id();
        let _ = reader.option("x", |reader| reader.text("x"));
        let _ = reader.count("x", 8);
        let _ = reader.finish();
    }

    #[test]
    fn a_flipped_byte_never_panics_and_what_decodes_encodes_to_the_same(
        at in any::<prop::sample::Index>(), flip in 1..=255_u8, which in 0..3_usize
    ) {
        let mut bytes = commands()[which].0.encode().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(command) = Command::decode(bytes.clone().into()) {
            // Types may be written in other words (INT for INTEGER), so only what is decoded must agree.
            prop_assert_eq!(Command::decode(command.encode()).unwrap(), command);
        }
    }
}
