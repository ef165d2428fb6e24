//! The words of identifiers.

/// Splits `camelCase`, `PascalCase`, `snake_case`, `SCREAMING_CASE` and plain text into words.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .flat_map(humps)
}

/// Splits `camelCase` into words.
fn humps(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let mut after_lower = false;
        let hump = text.char_indices().find(|&(_, letter)| {
            let is_hump = letter.is_uppercase() && after_lower;
            after_lower = letter.is_lowercase() || letter.is_numeric();
            is_hump
        });
        let (word, rest) = text.split_at(hump.map_or(text.len(), |(at, _)| at));
        text = rest;
        (!word.is_empty()).then_some(word)
    })
}
