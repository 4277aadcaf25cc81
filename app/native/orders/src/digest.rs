//! Hashing that gives the same number on every host and in every run.

use core::hash::{BuildHasherDefault, Hasher};

const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// Builds [`Digest`] hashers for the maps of this workspace.
pub type FastBuildHasher = BuildHasherDefault<Digest>;

/// A 64-bit digest, eight bytes a step; not for secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Digest(u64);

impl Digest {
    fn step(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(MULTIPLIER);
        self.0 = mixed ^ (mixed >> 32);
    }
}

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.step(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.step(u64::from_le_bytes(last));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.step(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.step(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.step(value);
    }

    fn write_i64(&mut self, value: i64) {
        self.step(value as u64);
    }

    fn write_usize(&mut self, value: usize) {
        self.step(value as u64);
    }

    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 29)).wrapping_mul(MULTIPLIER);
        mixed ^ (mixed >> 32)
    }
}
