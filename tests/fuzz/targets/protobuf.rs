//! Messages between processes: the first byte chooses which, the rest is the message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use raftduck_fuzz::write_seeds;
use raftduck_wire::proto::peer::Frame;
use raftduck_wire::proto::store;

fuzz_target!(init: write_seeds(seeds()), |input: &[u8]| {
    let Some((kind, message)) = input.split_first() else { return };
    match kind % 8 {
        0 => round_trip::<Frame>(message),
        1 => round_trip::<store::AppendRequest>(message),
        2 => round_trip::<store::AppendResponse>(message),
        3 => round_trip::<store::QueryRequest>(message),
        4 => round_trip::<store::QueryFrame>(message),
        5 => round_trip::<store::WatchUpdate>(message),
        6 => round_trip::<store::MetaResponse>(message),
        _ => round_trip::<store::ReadIndexResponse>(message),
    }
});

fn round_trip<M: Message + Default + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(message) = M::decode(bytes) else { return };
    let again = M::decode(message.encode_to_vec().as_slice()).expect("an encoded message decodes");
    assert!(again == message, "{message:?} became {again:?}");
}

fn seeds() -> Vec<Vec<u8>> {
    let seed = |kind: u8, message: Vec<u8>| [vec![kind], message].concat();
    let frame = Frame { group: 3, from_replica: 1, to_replica: 2, call: 9, kind: 1, body: b"body".to_vec().into() };
    vec![seed(0, frame.encode_to_vec())]
}
