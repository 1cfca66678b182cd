//! Random damage.

use rand::Rng;

/// Damages an input once; `words` are pieces that its parser knows.
pub(crate) fn mutate(rng: &mut impl Rng, input: &mut Vec<u8>, words: &[&str]) {
    let length = input.len();
    let at = rng.random_range(0..=length);
    let end = (at + rng.random_range(0..40)).min(length);
    match rng.random_range(0..9) {
        0 | 1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << rng.random_range(0..8);
            }
        }
        2 => input.truncate(at),
        3 => {
            input.drain(at..end);
        }
        4 => {
            let piece: Vec<u8> = (0..rng.random_range(1..8)).map(|_| rng.random()).collect();
            input.splice(at..at, piece);
        }
        5 => {
            let piece = input.get(at..end).map(<[u8]>::to_vec).unwrap_or_default();
            let times = if rng.random_bool(0.05) { 2000 } else { rng.random_range(1..4) };
            input.splice(at..at, piece.repeat(times));
        }
        6 => {
            // Numbers of eight bytes, as headers have them.
            let number: u64 =
                [0, 1, 255, u64::from(u32::MAX), i64::MAX as u64, u64::MAX][rng.random_range(0..6)];
            let bytes = if rng.random_bool(0.5) { number.to_le_bytes() } else { number.to_be_bytes() };
            let end = (at + bytes.len()).min(length);
            input.splice(at..end, bytes);
        }
        _ => {
            if !words.is_empty() {
                let word = words[rng.random_range(0..words.len())];
                let times = if rng.random_bool(0.02) { 20_000 } else { 1 };
                let end = if rng.random_bool(0.5) { at } else { end };
                input.splice(at..end, word.repeat(times).into_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use manytask_tensor::random::stream;

    #[test]
    fn inputs_of_any_length_are_damaged() {
        for number in 0..500 {
            let mut rng = stream(1, "mutate", number, 0);
            for text in ["", "a", "a longer text that is damaged somewhere"] {
                let mut input = text.as_bytes().to_vec();
                mutate(&mut rng, &mut input, &["word"]);
                mutate(&mut rng, &mut input, &[]);
            }
        }
    }
}
