//! Which sectors hold nothing but zeros.
//!
//! A device writes a sector whole or not at all, so a sector that was never written still reads
//! as the zeros that the segment was made of. Payloads may contain zeros of their own; a frame
//! therefore says how many of its sectors are all zero, and more than that means bytes missing.

/// The unit in which writes reach a device: 512 bytes, or a multiple of it.
pub const SECTOR: u64 = 512;

/// Counts the all-zero sectors of a run of bytes that starts anywhere in a file.
#[derive(Debug)]
pub struct ZeroSectors {
    position: u64,
    blank: bool,
    started: bool,
    count: u32,
}

impl ZeroSectors {
    /// Starts at a byte offset in the file.
    pub fn new(offset: u64) -> Self {
        Self { position: offset, blank: true, started: false, count: 0 }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let left = (SECTOR - self.position % SECTOR) as usize;
            let (part, rest) = bytes.split_at(left.min(bytes.len()));
            self.blank = self.blank && is_zero(part);
            self.started = true;
            self.position += part.len() as u64;
            if self.position.is_multiple_of(SECTOR) {
                self.close();
            }
            bytes = rest;
        }
    }

    /// How many sectors, counting those the run only touches, are zero wherever the run is.
    pub fn finish(mut self) -> u32 {
        self.close();
        self.count
    }

    fn close(&mut self) {
        if self.started && self.blank {
            self.count = self.count.saturating_add(1);
        }
        self.started = false;
        self.blank = true;
    }
}

/// Whether every byte is zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().all(|word| u64::from_le_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

/// The length of `bytes` without the zeros at their end.
pub fn length_without_trailing_zeros(bytes: &[u8]) -> usize {
    let mut end = bytes.len();
    while let Some(block) = bytes.get(end.saturating_sub(4096)..end).filter(|block| !block.is_empty()) {
        if let Some(last) = block.iter().rposition(|byte| *byte != 0) {
            return end - block.len() + last + 1;
        }
        end -= block.len();
    }
    end
}
