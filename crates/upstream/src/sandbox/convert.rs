//! Between the upstream protocol and the neutral types. What cannot be translated is logged without
//! its content and left out: a network's mistake must not stop the link.

use std::time::Duration;

use bytes::Bytes;
use contract::{
    Code, Key, Number, ShardId,
    callback::{Conversation, Origin, PricingModel},
};
use rpc::upstream as wire;
use session::IdentityKey;
use tracing::warn;

use super::keys;
use crate::{
    CallError, ContactResult, ContactStatus, Envelope, EnvelopeKind, Inbound, Incoming, Item,
    Outgoing, Receipt, ReceiptKind, Refused, SendItem, Sent,
};

/// Coreapp → network.
pub(super) fn up(item: Outgoing, number: Number) -> wire::Up {
    let item = match item {
        Outgoing::Hello { generation, shards } => wire::up::Item::Hello(wire::Hello {
            number: number.to_string(),
            shards: shards
                .into_iter()
                .map(|(shard, epoch)| wire::ShardEpoch { shard: shard.get().into(), epoch })
                .collect(),
            generation,
        }),
        Outgoing::Send(send) => wire::up::Item::Send(send_item(send)),
        Outgoing::Ack { shard, epoch, seq, our_seq } => {
            wire::up::Item::Ack(wire::Ack { shard: shard.get().into(), epoch, seq, our_seq })
        }
        Outgoing::Retry { shard, epoch, key, to, device, retry } => {
            wire::up::Item::Retry(wire::RetryRequest {
                shard: shard.get().into(),
                epoch,
                key: Bytes::copy_from_slice(key.as_bytes()),
                to: to.to_string(),
                device,
                retry: Some(keys::retry_to_wire(&retry)),
            })
        }
    };
    wire::Up { item: Some(item) }
}

fn send_item(send: SendItem) -> wire::Send {
    wire::Send {
        shard: send.shard.get().into(),
        epoch: send.epoch,
        key: Bytes::copy_from_slice(send.key.as_bytes()),
        to: send.to.to_string(),
        category: send.category.to_owned(),
        left_out: send.left_out,
        envelopes: send
            .envelopes
            .into_iter()
            .map(|envelope| wire::Envelope {
                device: envelope.device,
                kind: match envelope.kind {
                    EnvelopeKind::Plain => wire::envelope::Kind::Plain,
                    EnvelopeKind::PreKey => wire::envelope::Kind::Prekey,
                    EnvelopeKind::Message => wire::envelope::Kind::Message,
                }
                .into(),
                ciphertext: envelope.ciphertext,
            })
            .collect(),
    }
}

/// Network → coreapp, appended to `out`: a Welcome becomes one item a shard.
pub(super) fn down(down: wire::Down, out: &mut Vec<Incoming>) {
    if let Err(what) = try_down(down, out) {
        warn!(item.part = what, "The network sent an item that cannot be read; it was left out");
    }
}

fn try_down(down: wire::Down, out: &mut Vec<Incoming>) -> Result<(), &'static str> {
    let seq = down.seq;
    let item = match down.item.ok_or("item")? {
        wire::down::Item::Busy(busy) => {
            out.push(Incoming::Busy(Duration::from_millis(busy.after_ms)));
            return Ok(());
        }
        wire::down::Item::Welcome(welcome) => {
            for state in welcome.shards {
                let shard = shard(state.shard)?;
                let wire::ShardState { epoch_seen, acked_our_seq, .. } = state;
                let item = Item::Welcome { epoch_seen, acked_our_seq };
                out.push(Incoming::Item { shard, seq, item });
            }
            return Ok(());
        }
        wire::down::Item::Answer(answer) => Item::Answer {
            key: key(&answer.key)?,
            result: match answer.result.ok_or("answer.result")? {
                wire::answer::Result::Sent(sent) => Ok(Sent {
                    timestamp_ms: sent.timestamp_ms,
                    conversation: sent.conversation.and_then(|it| conversation(&it)),
                }),
                wire::answer::Result::Refused(refused) => Err(refusal(refused)?),
                wire::answer::Result::Stale(stale) => Err(Refused::StaleDevices(stale.devices)),
            },
        },
        wire::down::Item::Receipt(receipt) => Item::Receipt(Receipt {
            key: key(&receipt.key)?,
            from: number(&receipt.from)?,
            device: receipt.device,
            kind: match receipt.r#type() {
                wire::receipt::Type::Delivered => ReceiptKind::Delivered,
                wire::receipt::Type::Read => ReceiptKind::Read,
                wire::receipt::Type::Failed => ReceiptKind::Failed(code(receipt.code)),
                wire::receipt::Type::Warning => ReceiptKind::Warning(code(receipt.code)),
                wire::receipt::Type::Retry => {
                    ReceiptKind::Retry(keys::retry(&receipt.retry.ok_or("receipt.retry")?))
                }
                wire::receipt::Type::Unspecified => return Err("receipt.type"),
            },
            timestamp_ms: receipt.timestamp_ms,
            conversation: receipt.conversation.and_then(|it| conversation(&it)),
        }),
        wire::down::Item::Notice(notice) => match notice.notice.ok_or("notice")? {
            wire::notice::Notice::IdentityChanged(changed) => Item::IdentityChanged {
                wa_id: number(&changed.wa_id)?,
                device: changed.device,
                identity_key: IdentityKey::from_wire(&changed.identity_key)
                    .map_err(|_| "identity_changed.identity_key")?,
            },
            wire::notice::Notice::KeysLow(low) => Item::KeysLow { left: low.left },
            wire::notice::Notice::NumberChanged(changed) => Item::NumberChanged {
                wa_id: number(&changed.wa_id)?,
                new_wa_id: number(&changed.new_wa_id)?,
            },
            wire::notice::Notice::Trouble(trouble) => {
                Item::Trouble { code: code(trouble.code), details: trouble.details }
            }
        },
        wire::down::Item::Inbound(inbound) => Item::Inbound(Inbound {
            key: key(&inbound.key)?,
            from: number(&inbound.from)?,
            profile_name: inbound.profile_name,
            timestamp_ms: inbound.timestamp_ms,
            envelope: envelope(inbound.envelope.ok_or("inbound.envelope")?)?,
        }),
        wire::down::Item::Detached(detached) => Item::Detached { epoch_seen: detached.epoch_seen },
    };
    out.push(Incoming::Item { shard: shard(down.shard)?, seq, item });
    Ok(())
}

fn refusal(refused: wire::Refused) -> Result<Refused, &'static str> {
    let after = Duration::from_millis(refused.after_ms);
    Ok(match refused.class() {
        wire::refused::Class::Retry => Refused::Retry(after),
        wire::refused::Class::Hold => Refused::Hold(after),
        wire::refused::Class::Recipient => Refused::Recipient(after),
        wire::refused::Class::Final => {
            Refused::Final { code: code(refused.code), details: refused.details }
        }
        wire::refused::Class::Unspecified => return Err("refused.class"),
    })
}

/// Of a kind that this version does not know, nothing is told: the message matters more.
fn conversation(told: &wire::Conversation) -> Option<Conversation> {
    Some(Conversation {
        id: <[u8; 16]>::try_from(&told.id[..]).ok()?,
        origin: Origin::from_word(&told.origin)?,
        expires_s: told.expires_s,
        model: PricingModel::from_word(&told.pricing_model)?,
        billable: told.billable,
    })
}

fn envelope(envelope: wire::Envelope) -> Result<Envelope, &'static str> {
    Ok(Envelope {
        device: envelope.device,
        kind: match envelope.kind() {
            wire::envelope::Kind::Plain => EnvelopeKind::Plain,
            wire::envelope::Kind::Prekey => EnvelopeKind::PreKey,
            wire::envelope::Kind::Message => EnvelopeKind::Message,
            wire::envelope::Kind::Unspecified => return Err("envelope.kind"),
        },
        ciphertext: envelope.ciphertext,
    })
}

/// The answer to a contact sync, in the order asked.
pub(super) fn contacts(
    asked: &[Number],
    results: &[wire::ContactResult],
) -> Result<Vec<ContactResult>, CallError> {
    if asked.len() != results.len() {
        return Err(CallError(format!(
            "asked for {} contacts, {} answered",
            asked.len(),
            results.len()
        )));
    }
    Ok(asked.iter().zip(results).map(|(number, result)| contact(*number, result)).collect())
}

/// An answer that cannot be read, or is for another number, is no answer: failed, to be asked again.
fn contact(asked: Number, result: &wire::ContactResult) -> ContactResult {
    let status = match result.status() {
        _ if result.number != asked.as_str() => Err("contact.number"),
        wire::contact_result::Status::Registered => {
            number(&result.wa_id).map(|wa_id| ContactStatus::Registered { wa_id })
        }
        wire::contact_result::Status::NotRegistered => Ok(ContactStatus::NotRegistered),
        wire::contact_result::Status::Failed => Ok(ContactStatus::Failed),
        wire::contact_result::Status::Unspecified => Err("contact.status"),
    };
    let status = status.unwrap_or_else(|what| {
        warn!(item.part = what, "The network answered for a contact in a way that cannot be read");
        ContactStatus::Failed
    });
    ContactResult { number: asked, status }
}

/// A status as one sentence, for a log.
pub(super) fn reason(status: &tonic::Status) -> String {
    format!("{}: {}", status.code().description(), status.message())
}

fn key(bytes: &[u8]) -> Result<Key, &'static str> {
    Key::from_bytes(bytes).map_err(|_| "key")
}

pub(super) fn number(digits: &str) -> Result<Number, &'static str> {
    Number::from_digits(digits.as_bytes()).map_err(|_| "number")
}

fn shard(id: i32) -> Result<ShardId, &'static str> {
    i16::try_from(id).ok().and_then(ShardId::new).ok_or("shard")
}

/// A code the catalogue does not know becomes the generic one: the refusal itself must not be lost.
fn code(code: u32) -> Code {
    Code::from_u32(code).unwrap_or(Code::GENERIC_MESSAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(item: Option<wire::down::Item>, shard: i32) -> Vec<Incoming> {
        let mut out = Vec::new();
        down(wire::Down { seq: 3, shard, item }, &mut out);
        out
    }

    fn receipt(key: &'static [u8], from: &str, r#type: i32) -> Option<wire::down::Item> {
        Some(wire::down::Item::Receipt(wire::Receipt {
            key: Bytes::from_static(key),
            from: from.to_owned(),
            r#type,
            timestamp_ms: 5,
            ..Default::default()
        }))
    }

    #[test]
    fn malformed_items_are_left_out() {
        assert_eq!(convert(receipt(b"123456789", "4915112345678", 1), 35).len(), 1);
        for (item, shard) in [
            (None, 35),
            (receipt(b"12345678", "4915112345678", 1), 35),
            (receipt(b"123456789", "+4915112345678", 1), 35),
            (receipt(b"123456789", "4915112345678", 9), 35),
            (receipt(b"123456789", "4915112345678", 1), 64),
            (Some(wire::down::Item::Answer(wire::Answer::default())), 0),
            (Some(wire::down::Item::Inbound(wire::Inbound::default())), 0),
        ] {
            assert_eq!(convert(item.clone(), shard), [], "{item:?}");
        }
    }

    #[test]
    fn a_contact_answer_for_another_number_counts_as_failed() {
        let asked = Number::from_digits(b"4915112345678").unwrap();
        let result = |number: &str, status, wa_id: &str| wire::ContactResult {
            number: number.to_owned(),
            status,
            wa_id: wa_id.to_owned(),
        };
        for (answer, status) in [
            (
                result(asked.as_str(), 1, "4915112345678"),
                ContactStatus::Registered { wa_id: asked },
            ),
            (result(asked.as_str(), 2, ""), ContactStatus::NotRegistered),
            (result(asked.as_str(), 1, ""), ContactStatus::Failed),
            (result(asked.as_str(), 0, ""), ContactStatus::Failed),
            (result("4915112345679", 1, "4915112345679"), ContactStatus::Failed),
        ] {
            assert_eq!(contacts(&[asked], &[answer]).unwrap()[0].status, status);
        }
        assert!(contacts(&[asked], &[]).is_err());
    }
}
