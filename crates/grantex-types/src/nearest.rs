//! The known name nearest to a misspelt one.

/// The known name with the fewest differences from one that is unknown, if it is near enough to be
/// meant: at most every second character differs. Case does not count.
///
/// ```
/// use grantex_types::nearest::nearest;
/// assert_eq!(nearest("batchsize", ["batch_bytes", "batch_size"]), Some("batch_size"));
/// assert_eq!(nearest("colour", ["batch_bytes", "batch_size"]), None);
/// ```
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (differences, name) = known
        .into_iter()
        .map(|name| (distance(unknown, name), name))
        .min_by_key(|(count, _)| *count)?;
    (differences <= unknown.chars().count() / 2).then_some(name)
}

/// How many characters have to be put in, taken out or replaced to make one name of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for char in one.to_lowercase().chars() {
        let mut next = vec![row.first().map_or(0, |first| first.saturating_add(1))];
        for ((index, wanted), pair) in other.iter().enumerate().zip(row.windows(2)) {
            let (replaced, taken_out) = match pair {
                [before, above] => {
                    (before.saturating_add(usize::from(*wanted != char)), above.saturating_add(1))
                }
                _ => continue,
            };
            let put_in = next.get(index).map_or(usize::MAX, |left| left.saturating_add(1));
            next.push(replaced.min(taken_out).min(put_in));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_the_one_with_the_fewest_differences() {
        for (one, other, count) in [
            ("", "abc", 3),
            ("type", "types", 1),
            ("grant_id", "grantId", 1),
            ("LIMIT", "limit", 0),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(
                (distance(one, other), distance(other, one)),
                (count, count),
                "{one} {other}"
            );
        }
        assert_eq!(nearest("pagesize", ["limit", "after", "page", "pageSize"]), Some("pageSize"));
        assert_eq!(nearest("x", ["limit", "after"]), None);
        assert_eq!(nearest("", []), None);
    }
}
