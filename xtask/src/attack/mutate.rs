//! Damage to bytes and to lines of text.

use super::random::Rng;

/// Numbers that programs trip over.
const NUMBERS: [&str; 22] = [
    "0",
    "-1",
    "1",
    "2",
    "1e9",
    "1000000",
    "100000000",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "1e308",
    "-1e308",
    "1e-320",
    "nan",
    "inf",
    "-inf",
    "0.5",
    "1e18",
    "0x10",
    "\"1\"",
    "[]",
];

/// Sizes that are absurd, but numbers of the right kind.
const SIZES: [&str; 9] = [
    "0",
    "1",
    "17",
    "100000",
    "1000000",
    "100000000",
    "4294967296",
    "1000000000000000",
    "9223372036854775807",
];

/// Damages bytes in one random way; gives what was done.
pub(crate) fn bytes(rng: &mut Rng, bytes: &mut Vec<u8>) -> String {
    let length = bytes.len();
    let at = rng.below(length);
    match rng.below(8) {
        0 | 1 => flip(rng, bytes),
        2 => {
            bytes.truncate(at);
            format!("cut off at byte {at} of {length}")
        }
        3 => {
            let end = (at + rng.between(1, 40)).min(length);
            bytes.drain(at..end);
            format!("bytes {at} to {end} taken out")
        }
        4 => {
            let new: Vec<u8> = (0..rng.between(1, 20)).map(|_| rng.next() as u8).collect();
            bytes.splice(at..at, new);
            format!("random bytes put in at {at}")
        }
        5 => {
            let end = (at + rng.between(1, 200)).min(length);
            let copy = bytes.get(at..end).map(<[u8]>::to_vec).unwrap_or_default();
            bytes.splice(at..at, copy);
            format!("bytes {at} to {end} doubled")
        }
        6 => {
            let odd = rng.pick(&[
                &b"\0"[..],
                b"\"",
                b"\r",
                b"\n\n",
                b"\xff\xfe",
                b"\xef\xbb\xbf",
                b"'",
                b"\\",
                b"\x1b[31m",
            ]);
            bytes.splice(at..at, odd.iter().copied());
            format!("{odd:?} put in at {at}")
        }
        _ => {
            let end = (at + rng.between(1, 64)).min(length);
            bytes.iter_mut().take(end).skip(at).for_each(|byte| *byte = 0);
            format!("bytes {at} to {end} set to 0")
        }
    }
}

/// Flips one bit.
pub(crate) fn flip(rng: &mut Rng, bytes: &mut [u8]) -> String {
    let (at, bit) = (rng.below(bytes.len()), rng.below(8));
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << bit;
    }
    format!("bit {bit} of byte {at} flipped")
}

/// Changes one number of a text to one that programs trip over.
pub(crate) fn number(rng: &mut Rng, text: &str) -> String {
    let (start, end) = rng.pick(&numbers(text));
    replaced(text, start, end, rng.pick(&NUMBERS))
}

/// Changes one whole number of a text to an absurd size.
pub(crate) fn size(rng: &mut Rng, text: &str) -> String {
    let mut whole = numbers(text);
    whole.retain(|&(start, end)| text.get(start..end).is_some_and(|number| !number.contains('.')));
    let (start, end) = rng.pick(&whole);
    replaced(text, start, end, rng.pick(&SIZES))
}

/// Where the numbers of a text stand.
fn numbers(text: &str) -> Vec<(usize, usize)> {
    let is_part = |character: char| character.is_ascii_digit() || character == '.';
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for (at, character) in text.char_indices() {
        match spans.last_mut() {
            Some((_, end)) if is_part(character) && *end == at => *end = at + 1,
            _ if character.is_ascii_digit() => spans.push((at, at + 1)),
            _ => {}
        }
    }
    spans
}

fn replaced(text: &str, start: usize, end: usize, by: &str) -> String {
    let [before, behind] = [text.get(..start), text.get(end..)].map(Option::unwrap_or_default);
    format!("{before}{by}{behind}")
}

/// Changes the lines of a text in one random way.
pub(crate) fn lines(rng: &mut Rng, text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let (one, other) = (rng.below(lines.len()), rng.below(lines.len()));
    match rng.below(6) {
        0 if !lines.is_empty() => {
            lines.remove(one);
        }
        1 => {
            let copy = lines.get(one).cloned().unwrap_or_default();
            lines.insert(other, copy);
        }
        2 if !lines.is_empty() => lines.swap(one, other),
        3 => {
            let values: Vec<Option<String>> = [one, other]
                .map(|line| lines.get(line)?.split_once('=').map(|(_, value)| value.to_owned()))
                .to_vec();
            if let ([Some(value), _] | [_, Some(value)], Some(line)) =
                (values.as_slice(), lines.get_mut(other))
            {
                let key = line.split('=').next().unwrap_or_default().to_owned();
                *line = format!("{key}={value}");
            }
        }
        4 => {
            let deep = rng.pick(&[10, 200, 5000]);
            lines.push(format!("deep = {}{}", "[".repeat(deep), "]".repeat(deep)));
        }
        _ => {
            let parts = rng.pick(&[2, 100, 3000]);
            lines.insert(0, format!("{}a = 1", "a.".repeat(parts)));
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mutation_changes_something_most_of_the_time_and_never_fails() {
        let text = "seed = 1\n[training]\nsteps = 30\nbatch_size = 4\n";
        let mut changed = [0; 3];
        for number in 0..300 {
            let mut rng = Rng::new(3, "mutate", number);
            let mut damaged = text.as_bytes().to_vec();
            bytes(&mut rng, &mut damaged);
            changed[0] += usize::from(damaged != text.as_bytes());
            changed[1] += usize::from(super::number(&mut rng, text) != text);
            changed[2] += usize::from(lines(&mut rng, text) != text);
        }
        assert!(changed.iter().all(|count| *count > 200), "{changed:?}");
        let mut rng = Rng::new(3, "empty", 0);
        for _ in 0..100 {
            bytes(&mut rng, &mut Vec::new());
            number(&mut rng, "");
            size(&mut rng, "");
            lines(&mut rng, "");
        }
    }

    #[test]
    fn whole_numbers_are_replaced() {
        let seen: Vec<String> = (0..200).map(|n| number(&mut Rng::new(1, "n", n), "a = 12.5\n")).collect();
        let sizes: Vec<String> = (0..200).map(|n| size(&mut Rng::new(1, "n", n), "a = 12.5, 3\n")).collect();
        assert!(sizes.contains(&"a = 12.5, 4294967296\n".to_owned()));
        assert!(sizes.iter().all(|text| text.starts_with("a = 12.5, ")));
        assert!(
            seen.contains(&"a = inf\n".to_owned())
                && !seen.iter().any(|text| text.contains(".5\n") && text != "a = 0.5\n")
        );
    }
}
