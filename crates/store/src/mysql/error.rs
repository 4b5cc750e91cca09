//! What an error of the server or the driver says about a statement.

use mysql_async::{Error, ServerError};

use crate::error::StoreError;

/// Subquery returns more than one row: how a text stops whose fence has not moved.
const TOO_MANY_ROWS: u16 = 1242;
const DUPLICATE_KEY: u16 = 1062;
/// Lock wait time-out, deadlock.
const GIVEN_UP: [u16; 2] = [1205, 1213];
/// A row that no attempt will store: null where none may be, out of range, too long, a constraint
/// (MySQL, MariaDB), foreign keys of somebody else's making.
const UNFIT: [u16; 7] = [1048, 1264, 1406, 3819, 4025, 1451, 1452];
/// Duplicate keys, syntax errors and unreadable values are shown with the values.
const TELLS_VALUES: [u16; 4] = [DUPLICATE_KEY, 1064, 1292, 1366];
/// Of a database, a table, in general.
const DENIED: [u16; 3] = [1044, 1142, 1227];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Whatever was under way may have happened.
    Connection,
    NotMoved,
    Taken,
    Unfit,
    /// Another transaction was in the way; the same may succeed at once.
    GivenUp,
    Other,
}

pub(crate) fn kind(error: &Error) -> Kind {
    let Error::Server(ServerError { code, .. }) = error else { return Kind::Connection };
    match *code {
        TOO_MANY_ROWS => Kind::NotMoved,
        DUPLICATE_KEY => Kind::Taken,
        code if GIVEN_UP.contains(&code) => Kind::GivenUp,
        code if UNFIT.contains(&code) => Kind::Unfit,
        _ => Kind::Other,
    }
}

/// The user has no right to what was asked.
pub(crate) fn is_denied(error: &Error) -> bool {
    matches!(error, Error::Server(ServerError { code, .. }) if DENIED.contains(code))
}

/// For people and logs: no values of rows.
pub(crate) fn describe(error: &Error) -> String {
    match error {
        Error::Server(ServerError { code, state, .. }) if TELLS_VALUES.contains(code) => {
            format!("the server's error {code} ({state})")
        }
        Error::Server(ServerError { code, message, .. }) => format!("{message} (error {code})"),
        // A bad address is shown with its password.
        Error::Url(_) => "the address is bad".to_owned(),
        error => error.to_string(),
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        Self::Database(describe(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_key_is_not_shown() {
        let message = "Duplicate entry '3-4915112345678' for key 'PRIMARY'".to_owned();
        let state = "23000".to_owned();
        let error = Error::Server(ServerError { code: 1062, message, state });
        assert_eq!(describe(&error), "the server's error 1062 (23000)");
        assert_eq!(kind(&error), Kind::Taken);
    }
}
