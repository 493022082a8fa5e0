//! Frames: a count in four bytes, then as many words of eight bytes, all in little-endian order.
//!
//! A frame is written by one call and read exactly, however many pieces it arrives in.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The most words a frame may have. A larger count is an error of the sender's.
const MAX_WORDS: u32 = 4096;

/// Writes one frame.
pub async fn send<W: AsyncWrite + Unpin>(to: &mut W, words: &[u64]) -> io::Result<()> {
    let mut frame = Vec::with_capacity(4 + 8 * words.len());
    frame.extend((words.len() as u32).to_le_bytes());
    words.iter().for_each(|word| frame.extend(word.to_le_bytes()));
    to.write_all(&frame).await?;
    to.flush().await // a socket doesn't need it, a writer with a buffer does
}

/// Reads one frame. Fails with `UnexpectedEof` if the connection ends before or within it.
pub async fn receive<R: AsyncRead + Unpin>(from: &mut R) -> io::Result<Vec<u64>> {
    let mut count = [0; 4];
    from.read_exact(&mut count).await?;
    let count = u32::from_le_bytes(count);
    if count > MAX_WORDS {
        return Err(malformed());
    }
    let mut bytes = vec![0; 8 * count as usize];
    from.read_exact(&mut bytes).await?;
    Ok(bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect())
}

/// Sends a request and waits for the answer. After an error or a cancelled call, the stream is out of step: drop it.
pub async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &[u64]) -> io::Result<Vec<u64>> {
    send(stream, request).await?;
    receive(stream).await
}

/// The error for a frame that means nothing.
pub fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed frame")
}
