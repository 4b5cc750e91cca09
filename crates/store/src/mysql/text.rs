//! SQL as text. The only values that can be put into it are integers and bytes as hexadecimal
//! literals, so nothing that comes from outside is ever read as SQL.

/// One or more statements. Empty at first.
#[derive(Debug, Default)]
pub(crate) struct Text {
    sql: Vec<u8>,
}

impl Text {
    pub(crate) fn of(sql: &'static str) -> Self {
        let mut text = Self::default();
        text.sql(sql);
        text
    }

    pub(crate) fn sql(&mut self, sql: &'static str) -> &mut Self {
        self.sql.extend_from_slice(sql.as_bytes());
        self
    }

    pub(crate) fn int(&mut self, value: impl Into<i64>) -> &mut Self {
        self.sql.extend_from_slice(value.into().to_string().as_bytes());
        self
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.sql.reserve(2 * value.len() + 3);
        self.sql.extend_from_slice(b"x'");
        self.sql.extend(
            value.iter().flat_map(|byte| {
                [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0x0f)]]
            }),
        );
        self.sql.push(b'\'');
        self
    }

    pub(crate) fn maybe(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value {
            Some(value) => self.bytes(value),
            None => self.sql("NULL"),
        }
    }

    /// Each item as `each` writes it, with commas between them.
    pub(crate) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        for (n, item) in items.into_iter().enumerate() {
            self.sql(if n == 0 { "" } else { ", " });
            each(self, item);
        }
        self
    }

    /// A derived table of keys, each row as `each` writes it. Its columns are named by the first
    /// row, so `each` is told which that is.
    pub(crate) fn keys<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(&mut Row<'_>, T),
    ) -> &mut Self {
        self.sql("(");
        for (n, item) in items.into_iter().enumerate() {
            self.sql(if n == 0 { "SELECT " } else { " UNION ALL SELECT " });
            each(&mut Row { text: self, first: n == 0, columns: 0 }, item);
        }
        self.sql(")")
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.sql
    }

    pub(crate) fn len(&self) -> usize {
        self.sql.len()
    }
}

/// A row of a derived table.
pub(crate) struct Row<'a> {
    text: &'a mut Text,
    first: bool,
    columns: usize,
}

impl Row<'_> {
    pub(crate) fn int(&mut self, name: &'static str, value: impl Into<i64>) -> &mut Self {
        self.column(name, |text| {
            text.int(value);
        })
    }

    pub(crate) fn bytes(&mut self, name: &'static str, value: &[u8]) -> &mut Self {
        self.column(name, |text| {
            text.bytes(value);
        })
    }

    fn column(&mut self, name: &'static str, write: impl FnOnce(&mut Text)) -> &mut Self {
        self.text.sql(if self.columns == 0 { "" } else { ", " });
        write(self.text);
        if self.first {
            self.text.sql(" AS ").sql(name);
        }
        self.columns += 1;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_written_stays_a_literal() {
        let mut text = Text::of("SELECT ");
        text.list([b"'; DROP TABLE job; --".as_slice(), b"", b"\\\0\xff"], |text, value| {
            text.bytes(value);
        });
        text.sql(", ").int(i64::MIN).sql(", ").maybe(None);
        assert_eq!(
            str::from_utf8(text.as_bytes()).unwrap(),
            "SELECT x'273b2044524f50205441424c45206a6f623b202d2d', x'', x'5c00ff', \
             -9223372036854775808, NULL"
        );
    }

    #[test]
    fn keys_are_named_once() {
        let mut text = Text::default();
        text.keys([(1i16, 7i64), (-1, 8)], |row, (shard, id)| {
            row.int("shard", shard).int("id", id);
        });
        assert_eq!(
            str::from_utf8(text.as_bytes()).unwrap(),
            "(SELECT 1 AS shard, 7 AS id UNION ALL SELECT -1, 8)"
        );
    }
}
