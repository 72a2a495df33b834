//! Peers that are not what they should be: strangers, garbage, silence.

use crate::common::cluster::{Cluster, PATIENCE, TOKEN, cluster_id, replica, store};
use bytes::Bytes;
use openraft::raft::AppendEntriesRequest;
use openraft::{StoredMembership, Vote};
use raftduck_consensus::codec::{self, FileHead, RefusalCode, SnapshotChunk, SnapshotHead};
use raftduck_consensus::{Class, Kind};
use raftduck_model::{GroupId, LogId, ReplicaId};
use raftduck_wire::credential::Credential;
use raftduck_wire::proto::peer::Frame;
use raftduck_wire::proto::peer::peer_client::PeerClient;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status, Streaming};

/// A stream to store 1 with the given metadata, and its answers.
async fn connect(
    cluster: &Cluster,
    token: &str,
    pairs: &[(&'static str, String)],
) -> Result<(mpsc::Sender<Frame>, Streaming<Frame>), Status> {
    let address = cluster.book.0.lock()[&store(1)].clone();
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let (frames, outgoing) = mpsc::channel(64);
    let mut request = Request::new(ReceiverStream::new(outgoing));
    for (key, value) in pairs {
        request.metadata_mut().insert(*key, value.parse().unwrap());
    }
    Credential::new(token).add_to(request.metadata_mut())?;
    let answers = timeout(PATIENCE, PeerClient::new(channel).connect(request)).await.expect("an answer")?;
    Ok((frames, answers.into_inner()))
}

fn metadata(class: Class) -> Vec<(&'static str, String)> {
    vec![
        ("raftduck-cluster", cluster_id().to_string()),
        ("raftduck-from-store", store(2).to_string()),
        ("raftduck-to-store", store(1).to_string()),
        ("raftduck-class", class.name().to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_not_from_this_cluster_to_this_store_is_refused() {
    let mut cluster = Cluster::new(crate::common::cluster::timing());
    cluster.open(1, 1).await;
    let with = |key: &str, value: &str| {
        let mut pairs = metadata(Class::Log);
        pairs.iter_mut().find(|pair| pair.0 == key).unwrap().1 = value.to_owned();
        pairs
    };
    let refused =
        async |token: &str, pairs: Vec<_>| connect(&cluster, token, &pairs).await.err().map(|status| status.code());
    assert_eq!(refused("another token", metadata(Class::Log)).await, Some(Code::Unauthenticated));
    assert_eq!(refused("", metadata(Class::Log)).await, Some(Code::Unauthenticated));
    let other = store(7).to_string();
    assert_eq!(refused(TOKEN, with("raftduck-cluster", &other)).await, Some(Code::FailedPrecondition));
    assert_eq!(refused(TOKEN, with("raftduck-to-store", &other)).await, Some(Code::FailedPrecondition));
    assert_eq!(refused(TOKEN, with("raftduck-class", "gossip")).await, Some(Code::InvalidArgument));
    assert_eq!(refused(TOKEN, with("raftduck-from-store", "me")).await, Some(Code::InvalidArgument));
    assert_eq!(refused(TOKEN, vec![]).await, Some(Code::InvalidArgument));
    assert_eq!(refused(TOKEN, metadata(Class::Log)).await, None);
}

/// Sends one frame and returns the kind and, of a refusal, the code of its answer.
async fn ask(
    frames: &mpsc::Sender<Frame>,
    answers: &mut Streaming<Frame>,
    frame: Frame,
) -> (Option<Kind>, Option<RefusalCode>) {
    frames.send(frame).await.unwrap();
    let answer = timeout(PATIENCE, answers.message()).await.expect("an answer").unwrap().expect("a frame");
    let code = codec::decode_refusal(answer.body).ok().map(|refusal| refusal.code);
    (Kind::from_number(answer.kind), code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_make_no_sense_are_refused_and_the_group_goes_on() {
    let cluster = Cluster::start(1).await;
    let group = GroupId(1);
    let frame = |to: u64, call: u64, kind: u32, body: Bytes| Frame {
        group: 1,
        from_replica: replica(group, 2).id.0,
        to_replica: to,
        call,
        kind,
        body,
    };
    let mine = replica(group, 1).id.0;
    let (frames, mut answers) = connect(&cluster, TOKEN, &metadata(Class::Control)).await.unwrap();
    let mut refusal = async |frame| {
        let (kind, code) = ask(&frames, &mut answers, frame).await;
        assert_eq!(kind, Some(Kind::Refusal));
        code
    };
    let garbage = Bytes::from_static(b"\x01\xFF\xFF garbage");
    assert_eq!(refusal(frame(mine, 1, 3, garbage.clone())).await, Some(RefusalCode::Malformed));
    assert_eq!(refusal(frame(mine, 2, 4, Bytes::new())).await, Some(RefusalCode::Malformed));
    assert_eq!(refusal(frame(mine, 3, 77, garbage.clone())).await, Some(RefusalCode::Malformed));
    assert_eq!(refusal(frame(mine, 4, 1, garbage.clone())).await, Some(RefusalCode::Malformed), "entries as control");
    assert_eq!(refusal(frame(mine + 1, 5, 3, garbage.clone())).await, Some(RefusalCode::WrongReplica));
    let mut elsewhere = frame(mine, 6, 3, garbage.clone());
    elsewhere.group = 99;
    assert_eq!(refusal(elsewhere).await, Some(RefusalCode::NoSuchGroup));

    // A leader of an old term gets the present one's vote, and changes nothing.
    let old = AppendEntriesRequest {
        vote: Vote::new_committed(0, replica(group, 2).id.0),
        prev_log_id: None,
        leader_commit: None,
        entries: vec![],
    };
    let (kind, _) = ask(&frames, &mut answers, frame(mine, 7, 3, codec::encode_append(&old))).await;
    assert_eq!(kind, Some(Kind::Answer));

    let (frames, mut answers) = connect(&cluster, TOKEN, &metadata(Class::Log)).await.unwrap();
    for call in 1..100 {
        let (kind, code) = ask(&frames, &mut answers, frame(mine, call, 1, garbage.clone())).await;
        assert_eq!((kind, code), (Some(Kind::Refusal), Some(RefusalCode::Malformed)));
    }
    cluster.write(group, b"still here").await;
    assert_eq!(cluster.settled(group).await.commands, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_whose_pieces_or_hashes_are_wrong_is_refused_and_leaves_nothing() {
    let cluster = Cluster::start(1).await;
    let group = GroupId(1);
    let before = cluster.settled(group).await;
    let (frames, mut answers) = connect(&cluster, TOKEN, &metadata(Class::Snapshot)).await.unwrap();
    let frame = |call: u64, kind: Kind, body: Bytes| Frame {
        group: 1,
        from_replica: replica(group, 2).id.0,
        to_replica: replica(group, 1).id.0,
        call,
        kind: kind as u32,
        body,
    };
    let head = SnapshotHead {
        vote: Vote::new_committed(1000, replica(group, 2).id.0),
        last: LogId { term: 900, leader: ReplicaId(102), index: 5000 },
        membership: StoredMembership::default(),
        files: vec![FileHead { name: "state".into(), size: 16 }],
    };
    let piece = |offset, data: &'static [u8]| {
        codec::encode_snapshot_chunk(&SnapshotChunk { file: 0, offset, data: Bytes::from_static(data) })
    };
    let bodies = [
        ("a wrong hash", piece(0, &[7; 16]), codec::encode_snapshot_end(&[1])),
        ("a hole", piece(8, &[7; 8]), codec::encode_snapshot_end(&[1])),
        ("too long", piece(0, &[7; 17]), codec::encode_snapshot_end(&[1])),
        ("too short", piece(0, &[7; 15]), codec::encode_snapshot_end(&[1])),
        ("too much at once", piece(0, &[7; 2 << 20]), codec::encode_snapshot_end(&[1])),
    ];
    for (call, (what, chunk, end)) in (1..).zip(bodies) {
        let begun =
            ask(&frames, &mut answers, frame(call, Kind::SnapshotHead, codec::encode_snapshot_head(&head))).await;
        assert_eq!(begun.0, Some(Kind::Answer), "{what}");
        let mut last = ask(&frames, &mut answers, frame(call, Kind::SnapshotChunk, chunk)).await;
        if last.0 == Some(Kind::Answer) {
            last = ask(&frames, &mut answers, frame(call, Kind::SnapshotEnd, end)).await;
        }
        assert_eq!(last, (Some(Kind::Refusal), Some(RefusalCode::Damaged)), "{what}");
        frames.send(frame(call, Kind::End, Bytes::new())).await.unwrap();
    }
    assert_eq!(cluster.machine(1, group).installed.load(std::sync::atomic::Ordering::Relaxed), 0);
    assert_eq!(cluster.settled(group).await.digest, before.digest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_swallows_everything_delays_nobody_else() {
    let mut cluster = Cluster::start(6).await;
    cluster.stop(3).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    cluster.book.0.lock().insert(store(3), silent.local_addr().unwrap().to_string());
    let swallow = tokio::spawn(async move {
        let mut kept = vec![];
        while let Ok((connection, _)) = silent.accept().await {
            kept.push(connection);
        }
    });
    for round in 0..20 {
        for group in (1..=6).map(GroupId) {
            cluster.write(group, format!("{round}").as_bytes()).await;
        }
    }
    for group in (1..=6).map(GroupId) {
        assert!(cluster.settled(group).await.commands >= 20);
    }
    swallow.abort();
    cluster.open(3, 6).await;
    for group in (1..=6).map(GroupId) {
        cluster.settled(group).await;
    }
}
