//! Generates the gRPC code from `proto/` with a compiler written in Rust, so that a build needs no `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const FILES: [&str; 2] = ["proto/peer.proto", "proto/store.proto"];
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["proto"])?;
    // `Bytes` instead of `Vec<u8>`: rows and log entries are handed on without a copy.
    // Channels are made in `rpc`; without tonic's own `connect`, a call may have that name.
    tonic_prost_build::configure().build_transport(false).bytes(".").compile_fds(descriptors)?;
    Ok(())
}
