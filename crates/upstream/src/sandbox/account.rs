//! The account between the upstream protocol and the neutral types.

use std::time::Duration;

use contract::{Number, profile::Profile};
use rpc::upstream::{
    self as wire, account_request::Action, account_response::Result as Outcome,
    request_code::Method,
};

use crate::{AccountAction, AccountAnswer, CallError};

pub(super) fn request(number: Number, action: AccountAction) -> wire::AccountRequest {
    let action = match action {
        AccountAction::RequestCode { voice, cert, pin } => {
            let method = if voice { Method::Voice } else { Method::Sms };
            Action::RequestCode(wire::RequestCode { method: method.into(), cert, pin: pin.0 })
        }
        AccountAction::VerifyCode(code) => Action::VerifyCode(wire::VerifyCode { code: code.0 }),
        AccountAction::TwoStep(pin) => Action::TwoStep(pin.0),
        AccountAction::Shards { shards, cert, pin } => {
            Action::Shards(wire::Shards { shards, cert, pin: pin.0 })
        }
        AccountAction::Profile(profile) => {
            let Profile { address, description, email, vertical, websites, about } = profile;
            Action::Profile(wire::AccountProfile {
                address,
                description,
                email,
                vertical,
                websites,
                about,
            })
        }
        AccountAction::Photo(image) => Action::Photo(image),
    };
    wire::AccountRequest { number: number.to_string(), action: Some(action) }
}

pub(super) fn answer(response: wire::AccountResponse) -> Result<AccountAnswer, CallError> {
    match response.result {
        Some(Outcome::Done(wire::AccountDone { vname })) => Ok(AccountAnswer::Done { vname }),
        Some(Outcome::Refused(wire::AccountRefused { details, retry_after_ms })) => {
            let retry_after = (retry_after_ms > 0).then(|| Duration::from_millis(retry_after_ms));
            Ok(AccountAnswer::Refused { details, retry_after })
        }
        None => Err(CallError("the answer says nothing".to_owned())),
    }
}
