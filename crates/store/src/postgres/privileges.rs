//! What our user must be allowed to, asked before anything depends on it: a table that cannot be
//! written is found at start and not by the first message.

use diesel::sql_types::{Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{
    error::StoreError,
    fault::Fault,
    migrate::{Migration, tables},
    postgres::stmt::Stmt,
};

/// Whose, and in which database.
pub(super) struct Privileges<'a> {
    pub(super) user: &'a str,
    pub(super) database: &'a str,
}

impl Privileges<'_> {
    /// Reading and writing each of our tables that is there.
    ///
    /// # Errors
    /// [`Fault::Privilege`], naming the tables.
    pub(super) async fn use_tables(
        &self,
        conn: &mut AsyncPgConnection,
        migrations: &'static [Migration],
    ) -> Result<(), StoreError> {
        let names: Vec<String> =
            tables(migrations).iter().map(|name| format!("'{name}'")).collect();
        let text = format!(
            "SELECT c.relname::text FROM pg_catalog.pg_class c WHERE c.relkind = 'r' \
             AND c.relname IN ({}) AND pg_catalog.pg_table_is_visible(c.oid) AND NOT \
             (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') \
             AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')) \
             ORDER BY 1",
            names.join(", ")
        );
        let missing: Vec<String> = Stmt::<Text>::new(&text, &[]).load(conn).await?;
        if missing.is_empty() {
            return Ok(());
        }
        Err(Fault::Privilege {
            user: self.user.to_owned(),
            what: format!("use the tables {}", missing.join(", ")),
            remedy: format!(
                "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO \"{}\"",
                self.user
            ),
        }
        .into())
    }

    /// Creating tables where they would land.
    ///
    /// # Errors
    /// [`Fault::Privilege`].
    pub(super) async fn create_tables(
        &self,
        conn: &mut AsyncPgConnection,
    ) -> Result<(), StoreError> {
        let text = "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)";
        let may: Vec<bool> = Stmt::<Bool>::new(text, &[]).load(conn).await?;
        if may.as_slice().first() == Some(&true) {
            return Ok(());
        }
        Err(Fault::Privilege {
            user: self.user.to_owned(),
            what: "create tables, which this version has to".to_owned(),
            remedy: format!(
                "ALTER DATABASE \"{}\" OWNER TO \"{user}\", or GRANT USAGE, CREATE ON SCHEMA public \
                 TO \"{user}\"",
                self.database,
                user = self.user
            ),
        }
        .into())
    }
}
