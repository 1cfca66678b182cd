//! Names with `*` for any characters.

/// Whether a name is what a text with `*` for any characters means.
pub(crate) fn is_like(text: &str, name: &str) -> bool {
    matches(&text.split('*').map(str::to_owned).collect::<Vec<_>>(), name)
}

/// Whether a name has these texts in their order, the first at its start and the last at its end.
pub(crate) fn matches(pieces: &[String], name: &str) -> bool {
    let [first, middle @ .., last] = pieces else { return pieces.iter().any(|piece| piece == name) };
    let Some(mut rest) = name.strip_prefix(first.as_str()) else { return false };
    for piece in middle {
        let Some((_, after)) = rest.split_once(piece.as_str()) else { return false };
        rest = after;
    }
    rest.ends_with(last.as_str())
}
