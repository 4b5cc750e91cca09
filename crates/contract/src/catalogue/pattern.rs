//! A text with places, `{{1}}` to `{{n}}`, for parameters.

/// What is between the places, and which they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
    places: usize,
}

impl Pattern {
    /// `None`: the places are not numbered from 1 on.
    pub(super) fn new(text: &str) -> Option<Self> {
        let mut seen = Vec::new();
        for (_, place) in pieces(text) {
            seen.extend(place);
        }
        let places = seen.iter().copied().max().unwrap_or(0);
        (1..=places)
            .all(|place| seen.contains(&place))
            .then(|| Self { text: text.to_owned(), places })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// How many parameters it takes.
    pub(super) fn places(&self) -> usize {
        self.places
    }

    /// With its parameters.
    pub(super) fn filled(&self, parameters: &[&str]) -> String {
        pieces(&self.text).fold(String::new(), |mut text, (between, place)| {
            text.push_str(between);
            let place = place.and_then(|place| place.checked_sub(1));
            text.push_str(
                place.and_then(|place| parameters.get(place)).copied().unwrap_or_default(),
            );
            text
        })
    }
}

/// Each stretch of text and the number of the place behind it. What only looks like a place is text.
fn pieces(text: &str) -> impl Iterator<Item = (&str, Option<usize>)> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut from = 0;
        while let Some(open) = text.get(from..).and_then(|tail| tail.find("{{")).map(|at| at + from)
        {
            let inside = text.get(open + 2..).unwrap_or_default();
            let number = inside.split("}}").next().unwrap_or_default();
            let closed = inside.len() > number.len();
            if closed
                && let Ok(place) = number.parse::<usize>()
                && (1..=99).contains(&place)
            {
                rest = inside.get(number.len() + 2..);
                return Some((text.get(..open).unwrap_or_default(), Some(place)));
            }
            from = open + 2;
        }
        rest = None;
        Some((text, None))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn places_are_filled_wherever_and_as_often_as_they_stand() {
        let pattern = Pattern::new("{{2}}, {{1}}! {{2}} {{x}} {{ }").unwrap();
        assert_eq!(pattern.places(), 2);
        assert_eq!(pattern.filled(&["a", "{{1}}"]), "{{1}}, a! {{1}} {{x}} {{ }");
        assert_eq!(Pattern::new("").unwrap().places(), 0);
    }

    #[test]
    fn places_that_are_not_numbered_from_one_on_are_none() {
        for text in ["{{2}}", "{{1}} {{3}}"] {
            assert_eq!(Pattern::new(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_either_no_pattern_or_shown_whole(
            text in r"(\{\{|\}\}|[0-9]|[a-zé ]){0,20}",
        ) {
            if let Some(pattern) = Pattern::new(&text) {
                let names: Vec<String> =
                    (1..=pattern.places()).map(|n| format!("{{{{{n}}}}}")).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                // Numbers may be written with leading zeros.
                let plain = |text: &str| text.replace('0', "");
                prop_assert_eq!(plain(&pattern.filled(&names)), plain(&text));
            }
        }
    }
}
