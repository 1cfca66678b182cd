//! TensorBoard's event file: records of length, checksum, a protobuf `Event`, and its checksum.

use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use fs_err::File;

use super::metrics::Record;
use crate::failure::Result;

/// Scalars for TensorBoard.
#[derive(Debug)]
pub struct TensorBoard {
    file: File,
}

impl TensorBoard {
    pub(super) fn create(folder: &Path, resumed: Option<u64>) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("events.out.tfevents.{}.{:09}.manytask", now.as_secs(), now.subsec_nanos());
        let mut file = File::create(folder.join(name))?;
        let version = [tag(3, 2), string("brain.Event:2")].concat();
        file.write_all(&record(&[wall_time(now.as_secs_f64()), version].concat()))?;
        if let Some(step) = resumed {
            file.write_all(&record(&restart(now.as_secs_f64(), step + 1)))?;
        }
        Ok(Self { file })
    }

    /// Appends records that have a value.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write(&mut self, records: &[Record]) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let one = |of: &Record| Some(record(&event(now, of.step, &of.tag(), of.value?)));
        let bytes: Vec<u8> = records.iter().filter_map(one).flatten().collect();
        Ok(self.file.write_all(&bytes)?)
    }
}

/// `Event { wall_time, step, summary { value { tag, simple_value } } }`.
fn event(time: f64, step: u64, name: &str, value: f64) -> Vec<u8> {
    let scalar = [tag(1, 2), string(name), tag(2, 5), (value as f32).to_le_bytes().to_vec()].concat();
    let summary = [tag(1, 2), length(scalar.len()), scalar].concat();
    [wall_time(time), tag(2, 0), varint(step), tag(5, 2), length(summary.len()), summary].concat()
}

/// `Event { wall_time, step, session_log { status: START } }`: TensorBoard forgets what it has of this step and later ones.
fn restart(time: f64, step: u64) -> Vec<u8> {
    let log = [tag(1, 0), varint(1)].concat();
    [wall_time(time), tag(2, 0), varint(step), tag(7, 2), length(log.len()), log].concat()
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

    /// What TensorBoard's own `RecordWriter` writes of the same events (version 2.21.0).
    #[test]
    fn records_have_the_bytes_of_tensorboards_own_writer() {
        let hexadecimal =
            |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        let version = [wall_time(1.5), tag(3, 2), string("brain.Event:2")].concat();
        assert_eq!(
            hexadecimal(record(&version)),
            "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c"
        );
        assert_eq!(
            hexadecimal(record(&event(1.5, 300, "loss", 0.25))),
            "1b000000000000001a0d9e1309000000000000f83f10ac022a0d0a0b0a046c6f7373150000803e9908deed"
        );
        assert_eq!(
            hexadecimal(record(&restart(1.5, 301))),
            "100000000000000095fbfe1809000000000000f83f10ad023a020801d17949d4"
        );
    }
}
