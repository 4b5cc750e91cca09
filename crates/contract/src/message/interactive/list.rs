//! A list to choose from: 1 to 10 sections with 1 to 10 rows in all.

use serde_json::Value;

use super::{button::unique, counted};
use crate::{
    error::{ApiError, Code},
    fields::{self, Fields},
    message::object::{Object, refused},
};

/// Most characters of the button that opens it.
pub const MAX_BUTTON: usize = 20;
/// Most sections.
pub const MAX_SECTIONS: usize = 10;
/// Most rows of all sections together.
pub const MAX_ROWS: usize = 10;
/// Most characters of a section's or a row's title.
pub const MAX_TITLE: usize = 24;
/// Most characters of a row's id.
pub const MAX_ID: usize = 200;
/// Most characters of a row's description.
pub const MAX_DESCRIPTION: usize = 72;

pub(super) fn read(fields: Fields) -> Result<Value, ApiError> {
    let mut action = Object::new(fields);
    action.required_text("button", MAX_BUTTON)?;
    let button = action.taken_str("button");
    if has_markdown(button) {
        let path = action.fields.path_of("button");
        return Err(refused(Code::CHARACTERS, path, fields::quoted(button), "no markdown"));
    }
    let sections = action.fields.required_items("sections")?;
    let count = sections.len();
    counted(&action.fields, "sections", "sections", count, MAX_SECTIONS, Code::SECTIONS)?;
    let (mut ids, mut rows) = (Vec::new(), 0);
    let mut taken = Vec::with_capacity(count);
    for fields in sections {
        let mut section = titled(fields, count)?;
        let items = section.fields.required_items("rows")?;
        rows += items.len();
        counted(&section.fields, "rows", "rows in a section", items.len(), MAX_ROWS, Code::ROWS)?;
        let all = "rows in all sections";
        counted(&section.fields, "rows", all, rows, MAX_ROWS, Code::ROWS)?;
        let items: Result<Vec<_>, _> =
            items.into_iter().map(|row| self::row(row, &mut ids)).collect();
        section.put("rows", items?);
        taken.push(section.finish()?);
    }
    action.put("sections", taken);
    action.finish()
}

/// A section, whose title is mandatory where there are several.
pub(super) fn titled(fields: Fields, sections: usize) -> Result<Object, ApiError> {
    let mut section = Object::new(fields);
    if sections > 1 {
        section.required_text("title", MAX_TITLE)?;
    } else {
        section.text("title", MAX_TITLE)?;
    }
    Ok(section)
}

fn row(fields: Fields, ids: &mut Vec<String>) -> Result<Value, ApiError> {
    let mut row = Object::new(fields);
    row.required_text("id", MAX_ID)?;
    row.required_text("title", MAX_TITLE)?;
    row.text("description", MAX_DESCRIPTION)?;
    unique(&row, "id", ids)?;
    row.finish()
}

/// `*bold*`, `_italic_`, `~struck~`, or backticks: a mark before a word and its twin after one.
fn has_markdown(text: &str) -> bool {
    text.contains('`')
        || ['*', '_', '~'].iter().any(|mark| {
            let opens = text.find(*mark).filter(|at| {
                let before = text.get(..*at).unwrap_or_default().chars().next_back();
                let after = text.get(at + 1..).unwrap_or_default().chars().next();
                before.is_none_or(|char| !char.is_alphanumeric())
                    && after.is_some_and(|char| !char.is_whitespace() && char != *mark)
            });
            opens.is_some_and(|at| text.get(at + 2..).is_some_and(|rest| rest.contains(*mark)))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_around_words_are_markdown_and_marks_within_are_not() {
        for text in ["*bold*", "so _it_ is", "~gone~", "`code`"] {
            assert!(has_markdown(text), "{text}");
        }
        for text in ["Choose", "2 * 3 * 4", "snake_case_name", "5*", "~10 min", "**", "*"] {
            assert!(!has_markdown(text), "{text}");
        }
    }
}
