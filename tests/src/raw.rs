//! What no well-behaved client sends: bytes on a socket.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends the bytes and reads until the other side closes or `patience` ends.
///
/// # Errors
/// Where no connection is made. A connection that the other side cuts is an answer: an empty one.
pub async fn exchange(address: &str, bytes: &[u8], patience: Duration) -> Result<Vec<u8>> {
    let mut socket = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
    let mut answer = Vec::new();
    let talk = async {
        socket.write_all(bytes).await?;
        socket.read_to_end(&mut answer).await
    };
    let _ = tokio::time::timeout(patience, talk).await;
    Ok(answer)
}

/// The head of a request with this body length announced.
pub fn head(method: &str, path: &str, content_type: &str, length: usize) -> Vec<u8> {
    let token = crate::launch::TOKEN;
    format!(
        "{method} {path} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\n\
         content-type: {content_type}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )
    .into_bytes()
}
