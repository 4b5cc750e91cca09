//! Statements with a fixed text, prepared once a connection: the text is their name. Rows come and
//! go as arrays, so one text serves every number of rows.

use std::marker::PhantomData;

use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Binary, Nullable, SmallInt},
};

use crate::codec::MARK_LEN;

/// A value for a `$n`.
#[derive(Clone, Debug)]
pub(crate) enum Bind<'a> {
    Small(i16),
    Big(i64),
    Bytes(&'a [u8]),
    Smalls(Vec<i16>),
    Bigs(Vec<i64>),
    ManyBytes(Vec<&'a [u8]>),
    Marks(Vec<[u8; MARK_LEN]>),
    ManyMaybe(Vec<Option<&'a [u8]>>),
}

/// A statement whose rows have the SQL type `R`.
pub(crate) struct Stmt<'a, R = ()> {
    text: &'a str,
    binds: &'a [Bind<'a>],
    rows: PhantomData<fn() -> R>,
}

impl<'a, R> Stmt<'a, R> {
    pub(crate) fn new(text: &'a str, binds: &'a [Bind<'a>]) -> Self {
        Self { text, binds, rows: PhantomData }
    }
}

impl<R: 'static> Query for Stmt<'_, R> {
    type SqlType = R;
}

impl<R> QueryId for Stmt<'_, R> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<R> QueryFragment<Pg> for Stmt<'_, R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.text);
        for bind in self.binds {
            match bind {
                Bind::Small(value) => out.push_bind_param_value_only::<SmallInt, _>(value)?,
                Bind::Big(value) => out.push_bind_param_value_only::<BigInt, _>(value)?,
                Bind::Bytes(value) => out.push_bind_param_value_only::<Binary, _>(value)?,
                Bind::Smalls(values) => {
                    out.push_bind_param_value_only::<Array<SmallInt>, _>(values)?;
                }
                Bind::Bigs(values) => out.push_bind_param_value_only::<Array<BigInt>, _>(values)?,
                Bind::ManyBytes(values) => {
                    out.push_bind_param_value_only::<Array<Binary>, _>(values)?;
                }
                Bind::Marks(values) => {
                    out.push_bind_param_value_only::<Array<Binary>, _>(values)?;
                }
                Bind::ManyMaybe(values) => {
                    out.push_bind_param_value_only::<Array<Nullable<Binary>>, _>(values)?;
                }
            }
        }
        Ok(())
    }
}
