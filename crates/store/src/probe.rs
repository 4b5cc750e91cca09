//! What is behind a host and port, asked after an attempt that failed without saying why: each
//! engine's driver only waits or stumbles when it talks to the other's server.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Of the whole question.
const PATIENCE: Duration = Duration::from_secs(2);
/// How PostgreSQL is asked for TLS: length 8, and a number no protocol version has.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// Enough for the first words of any server.
const WORDS: usize = 64;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    Postgres {
        tls: bool,
    },
    MySql,
    Unresolved(String),
    Refused,
    /// It speaks, and is no database server we know.
    Stranger,
    /// Nothing was said in time, or the connection was closed.
    Silence,
}

/// Connects and asks. MySQL speaks first, PostgreSQL answers one byte.
pub(crate) async fn behind(host: &str, port: u16) -> Behind {
    timeout(PATIENCE, ask(host, port)).await.unwrap_or(Behind::Silence)
}

async fn ask(host: &str, port: u16) -> Behind {
    let addresses: Vec<_> = match tokio::net::lookup_host((host, port)).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Behind::Unresolved(error.to_string()),
    };
    let mut stream = match TcpStream::connect(&*addresses).await {
        Ok(stream) => stream,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return Behind::Refused;
        }
        Err(_) => return Behind::Silence,
    };
    let mut words = [0; WORDS];
    let said = async {
        stream.write_all(&SSL_REQUEST).await?;
        stream.read(&mut words).await
    };
    let Ok(n @ 1..) = said.await else { return Behind::Silence };
    recognise(words.get(..n).unwrap_or_default())
}

fn recognise(words: &[u8]) -> Behind {
    match words {
        [b'S'] => Behind::Postgres { tls: true },
        [b'N'] => Behind::Postgres { tls: false },
        // Length of three bytes, sequence number 0, then protocol version 10 or an error.
        [_, _, 0, 0, 10 | 0xff, ..] => Behind::MySql,
        _ => Behind::Stranger,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_known_by_their_first_words() {
        assert_eq!(recognise(b"S"), Behind::Postgres { tls: true });
        assert_eq!(recognise(b"N"), Behind::Postgres { tls: false });
        assert_eq!(recognise(b"J\0\0\0\x0a8.0.36\0"), Behind::MySql);
        assert_eq!(recognise(b"\x45\0\0\0\xff\x6a\x04Host"), Behind::MySql);
        assert_eq!(recognise(b"HTTP/1.1 400 Bad Request\r\n"), Behind::Stranger);
    }
}
