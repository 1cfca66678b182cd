//! TensorBoard's event file: records of length, checksum, a protobuf `Event`, and its checksum.

use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use fs_err::File;

use crate::failure::Result;

/// Scalars for TensorBoard.
#[derive(Debug)]
pub struct TensorBoard {
    file: File,
}

impl TensorBoard {
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("events.out.tfevents.{}.{:09}.manytask", now.as_secs(), now.subsec_nanos());
        let mut file = File::create(folder.join(name))?;
        let version = [tag(3, 2), string("brain.Event:2")].concat();
        file.write_all(&record(&[wall_time(now.as_secs_f64()), version].concat()))?;
        Ok(Self { file })
    }

    /// Appends scalars of one step, by tag.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write(&mut self, step: u64, scalars: &[(String, f64)]) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let records: Vec<u8> =
            scalars.iter().flat_map(|(tag, value)| record(&event(now, step, tag, *value))).collect();
        Ok(self.file.write_all(&records)?)
    }
}

/// `Event { wall_time, step, summary { value { tag, simple_value } } }`.
fn event(time: f64, step: u64, name: &str, value: f64) -> Vec<u8> {
    let scalar = [tag(1, 2), string(name), tag(2, 5), (value as f32).to_le_bytes().to_vec()].concat();
    let summary = [tag(1, 2), length(scalar.len()), scalar].concat();
    [wall_time(time), tag(2, 0), varint(step), tag(5, 2), length(summary.len()), summary].concat()
}

fn wall_time(time: f64) -> Vec<u8> {
    [tag(1, 1), time.to_le_bytes().to_vec()].concat()
}

/// A field's number and wire type.
fn tag(field: u8, wire: u8) -> Vec<u8> {
    vec![(field << 3) | wire]
}

fn string(text: &str) -> Vec<u8> {
    [length(text.len()), text.as_bytes().to_vec()].concat()
}

fn length(length: usize) -> Vec<u8> {
    varint(length as u64)
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A `TFRecord`.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length), data, &masked_crc(data)].concat()
}

fn masked_crc(data: &[u8]) -> [u8; 4] {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// CRC-32C (Castagnoli), reflected.
fn crc32c(data: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 },
        )
    };
    !data.iter().fold(!0, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa); // RFC 3720, B.4
    }

    #[test]
    fn an_event_has_the_bytes_of_the_format() {
        let bytes = event(1.5, 300, "loss", 0.25);
        let expected: Vec<u8> = [
            &[0x09][..],
            &1.5_f64.to_le_bytes(),
            &[0x10, 0xac, 0x02],
            &[0x2a, 13, 0x0a, 11, 0x0a, 4],
            b"loss",
            &[0x15],
            &0.25_f32.to_le_bytes(),
        ]
        .concat();
        assert_eq!(bytes, expected);
        let record = record(&bytes);
        assert_eq!(record.len(), 8 + 4 + bytes.len() + 4);
        assert_eq!(record[..8], (bytes.len() as u64).to_le_bytes());
    }
}
