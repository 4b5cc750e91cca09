//! Statements with a fixed text. Diesel caches what it can name; its own upserts, updates and raw
//! queries are prepared anew each time, these are not: the text is their name.

use std::marker::PhantomData;

use diesel::{
    QueryResult, RunQueryDsl, SqliteConnection,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Binary, Nullable, SmallInt},
    sqlite::Sqlite,
};

/// A value for a `?`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bind<'a> {
    Small(i16),
    Big(i64),
    Bytes(&'a [u8]),
    Maybe(Option<&'a [u8]>),
}

/// A statement whose rows have the SQL type `R`.
pub(crate) struct Stmt<'a, R = ()> {
    text: &'static str,
    binds: &'a [Bind<'a>],
    rows: PhantomData<R>,
}

impl<'a, R> Stmt<'a, R> {
    pub(crate) fn new(text: &'static str, binds: &'a [Bind<'a>]) -> Self {
        Self { text, binds, rows: PhantomData }
    }
}

/// Runs a statement that gives no rows; tells how many it changed.
pub(crate) fn execute(
    conn: &mut SqliteConnection,
    text: &'static str,
    binds: &[Bind<'_>],
) -> QueryResult<usize> {
    Stmt::<()>::new(text, binds).execute(conn)
}

impl<R: 'static> Query for Stmt<'_, R> {
    type SqlType = R;
}

impl<R> RunQueryDsl<SqliteConnection> for Stmt<'_, R> {}

impl<R> QueryId for Stmt<'_, R> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<R> QueryFragment<Sqlite> for Stmt<'_, R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(self.text);
        for bind in self.binds {
            match bind {
                Bind::Small(value) => out.push_bind_param_value_only::<SmallInt, _>(value)?,
                Bind::Big(value) => out.push_bind_param_value_only::<BigInt, _>(value)?,
                Bind::Bytes(value) => out.push_bind_param_value_only::<Binary, _>(value)?,
                Bind::Maybe(value) => {
                    out.push_bind_param_value_only::<Nullable<Binary>, _>(value)?;
                }
            }
        }
        Ok(())
    }
}
