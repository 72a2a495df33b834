//! The meta group's log and snapshots: any text is read or refused, and no command, of whatever
//! content, makes applying it panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raftduck_fuzz::write_seeds;
use raftduck_model::meta::{Meta, MetaCommand};

fuzz_target!(init: write_seeds(seeds()), |input: &[u8]| {
    if let Ok(meta) = serde_json::from_slice::<Meta>(input) {
        let text = serde_json::to_vec(&meta).expect("a state can be written");
        assert_eq!(serde_json::from_slice::<Meta>(&text).expect("what was written can be read"), meta);
    }
    let mut meta = Meta::default();
    for line in input.split(|byte| *byte == b'\n') {
        let Ok(command) = serde_json::from_slice::<MetaCommand>(line) else { continue };
        // A bootstrap of so many partitions is a true command that would only take memory.
        if matches!(command, MetaCommand::Bootstrap { partitions, .. } if partitions > 4096) {
            continue;
        }
        let once = meta.apply(command.clone());
        let state = meta.clone();
        if once.is_ok() && meta.apply(command).is_ok() {
            assert_eq!(meta, state, "a command that arrives twice changes nothing the second time");
        }
    }
});

fn seeds() -> Vec<Vec<u8>> {
    let store = uuid::Uuid::from_u128(1);
    let column = r#"{"name":"id","type":"BIGINT","nullable":false}"#;
    let commands = format!(
        r#"{{"do":"bootstrap","cluster":"{store}","stores":[["{store}",{{"address":"a:1"}}]],"replicas":[],"partitions":2,"replication":1}}
{{"do":"register_store","store":"{store}","info":{{"address":"b:2"}}}}
{{"do":"partition_created","partition":1}}
{{"do":"create_table","name":"t","columns":[{column}],"key":0,"if_not_exists":true}}
{{"do":"add_column","table":"t","column":{{"name":"b","type":"VARCHAR","nullable":true}},"if_not_exists":true}}
{{"do":"drop_table","name":"t","if_exists":true}}"#
    );
    let state = serde_json::to_vec(&Meta::default()).expect("a state can be written");
    vec![commands.into_bytes(), state]
}
