//! Every bound of the crate, by name, with what happens there.

/// Receiver chains a session keeps; the sixth evicts the oldest, whose late messages are then
/// refused. From the protocol's reference behaviour.
pub const RECEIVER_CHAINS: usize = 5;

/// Keys of messages not yet seen that a session keeps over all its chains; one more evicts the
/// oldest of the oldest chain.
pub const SKIPPED_KEYS: usize = 2_000;

/// How far ahead of a chain a message may be; farther is refused before any hashing. The widest
/// gap costs 4,000 HMACs, about a millisecond.
pub const MESSAGE_GAP: u32 = 2_000;

/// Sessions kept behind the current one, for messages in flight after a reset; one more evicts
/// the oldest.
pub const PREVIOUS_SESSIONS: usize = 4;

/// Age in seconds (30 days) from which a session nobody answered is to be set up afresh: the peer
/// may have thrown away the signed pre-key it stands on.
pub const UNACKNOWLEDGED_MAX_AGE_S: u64 = 30 * 24 * 60 * 60;

/// Bits of a pre-key id; ids wrap here and skip those still alive.
pub const PRE_KEY_ID_BITS: u32 = 24;

/// Longest plaintext in bytes; longer is refused before the session is touched. The REST edge
/// takes 1 MiB of JSON, and an envelope adds a rendered template.
pub const PLAINTEXT_LEN: usize = 2 * 1024 * 1024;

/// Longest message in bytes, either kind; longer is refused unread. A plaintext's limit, its
/// padding and the two messages' fields (less than 300 bytes).
pub const MESSAGE_LEN: usize = PLAINTEXT_LEN + 1024;

/// Bytes of the MAC that ends a message.
pub const MAC_LEN: usize = 8;

/// Master keys held at once for rotation; one more is refused.
pub const MASTER_KEYS: usize = 16;
