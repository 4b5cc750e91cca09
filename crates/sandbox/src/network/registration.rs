//! What the network knows of a business as an account: its registration, its two-step pin, how
//! customers see it. Apart from the shards: a number that was never registered may attach, as the one
//! in a coreapp's configuration does.

use std::collections::BTreeMap;

use bytes::Bytes;
use contract::Number;
use rpc::upstream::{
    self as wire, account_request::Action, account_response::Result as Outcome,
    request_code::Method,
};
use serde::{Deserialize, Serialize};

use super::{ControlError, Network, Now, record::Record};
use crate::bodies::Base64;

/// Numbers that asked for a code at least once; more are refused.
const NUMBERS_MAX: usize = 1_000;
/// Codes, or wrong pins, within [`WINDOW_MS`]; then the number has to wait.
const REQUESTS_MAX: usize = 5;
const WINDOW_MS: i64 = 60 * 60 * 1_000;
/// A code is good for so long, and for so many tries.
const CODE_MS: i64 = 10 * 60 * 1_000;
const CODE_TRIES: u32 = 5;
/// Longest name taken from a certificate, characters.
const VNAME_MAX: usize = 128;

/// One business.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Registration {
    pub(crate) registered: bool,
    pub(crate) vname: String,
    pub(crate) code: Option<SentCode>,
    /// When codes were asked for lately.
    requests_ms: Vec<i64>,
    pub(crate) two_step: Option<String>,
    pub(crate) profile: Profile,
    pub(crate) photo: Base64,
}

/// A code under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SentCode {
    pub(crate) code: String,
    pub(crate) by: String,
    sent_ms: i64,
    tries: u32,
    vname: String,
}

/// How customers see the business.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Profile {
    address: String,
    description: String,
    email: String,
    vertical: String,
    websites: Vec<String>,
    about: String,
}

/// By number.
pub(crate) type Registrations = BTreeMap<Number, Registration>;

/// Why a business is not let in; in the words that clients of the original know.
struct Refused {
    details: String,
    retry_after_ms: u64,
}

impl Refused {
    fn because(token: &str) -> Self {
        let details = format!("Registration failed for reason '{token}'.");
        Self { details, retry_after_ms: 0 }
    }

    fn wait(ms: i64) -> Self {
        let minutes = ms.max(0).unsigned_abs().div_ceil(60_000);
        let (hours, rest) = (minutes / 60, minutes % 60);
        let details = format!("Please wait {hours} hour(s) {rest} minute(s) before trying again");
        Self { details, retry_after_ms: ms.max(0).unsigned_abs() }
    }
}

impl Network {
    /// What a coreapp asks for its account; `Err` says what is wrong with the call. Gives how long the
    /// answer takes, too, milliseconds.
    pub(crate) fn account(
        &mut self,
        request: wire::AccountRequest,
        now: Now,
    ) -> Result<(wire::AccountResponse, u64), &'static str> {
        self.stats.calls.account += 1;
        let number = Number::from_digits(request.number.as_bytes())
            .map_err(|_| "the own number is no number")?;
        let action = request.action.ok_or("the call asks for nothing")?;
        if self.registrations.len() >= NUMBERS_MAX && !self.registrations.contains_key(&number) {
            return Err("too many numbers have asked for a code");
        }
        let dice = self.dice.next();
        let registration = self.registrations.entry(number).or_default();
        let done = match action {
            Action::RequestCode(request) => registration.request(&request, dice, now.unix_ms),
            Action::VerifyCode(request) => registration.verify(&request.code, now.unix_ms),
            Action::TwoStep(pin) => {
                registration.two_step = Some(pin).filter(|pin| !pin.is_empty());
                Ok(String::new())
            }
            Action::Shards(wish) => registration.shards(&wish),
            Action::Profile(profile) => {
                registration.profile = profile.into();
                Ok(String::new())
            }
            Action::Photo(image) => {
                registration.photo = Base64(image);
                Ok(String::new())
            }
        };
        let registration = Box::new(registration.clone());
        self.record(|_| Some(Record::Business { number, registration }));
        let result = match done {
            Ok(vname) => Outcome::Done(wire::AccountDone { vname }),
            Err(Refused { details, retry_after_ms }) => {
                Outcome::Refused(wire::AccountRefused { details, retry_after_ms })
            }
        };
        Ok((wire::AccountResponse { result: Some(result) }, self.latency()))
    }

    /// The same for the control API.
    pub(crate) fn registration(&self, number: Number) -> Result<&Registration, ControlError> {
        self.registrations.get(&number).ok_or(ControlError::NeverRegistered)
    }
}

impl Registration {
    fn request(
        &mut self,
        request: &wire::RequestCode,
        dice: u64,
        now_ms: i64,
    ) -> Result<String, Refused> {
        self.requests_ms.retain(|at| now_ms - at < WINDOW_MS);
        if self.requests_ms.len() >= REQUESTS_MAX {
            let first = self.requests_ms.first().copied().unwrap_or(now_ms);
            return Err(Refused::wait(first + WINDOW_MS - now_ms));
        }
        let vname = vname(&request.cert)
            .ok_or_else(|| Refused::because("biz_link_info_invalid_payload"))?;
        self.requests_ms.push(now_ms);
        if let Some(pin) = &self.two_step
            && *pin != request.pin
        {
            return Err(Refused::because("two_step_pin"));
        }
        let by = match request.method() {
            Method::Voice => "voice",
            Method::Sms | Method::Unspecified => "sms",
        };
        let code = format!("{:06}", dice % 1_000_000);
        let sent =
            SentCode { code, by: by.to_owned(), sent_ms: now_ms, tries: 0, vname: vname.clone() };
        self.code = Some(sent);
        Ok(vname)
    }

    /// How many connections there are is nothing to this network; who may ask for them is.
    fn shards(&self, wish: &wire::Shards) -> Result<String, Refused> {
        let vname =
            vname(&wish.cert).ok_or_else(|| Refused::because("biz_link_info_invalid_payload"))?;
        // A number that was never registered here has no certificate to compare with.
        if self.registered && vname != self.vname {
            return Err(Refused::because("cert_mismatch"));
        }
        match &self.two_step {
            Some(pin) if *pin != wish.pin => Err(Refused::because("two_step_pin")),
            _ => Ok(vname),
        }
    }

    fn verify(&mut self, given: &str, now_ms: i64) -> Result<String, Refused> {
        let Some(sent) = &mut self.code else { return Err(Refused::because("no_code")) };
        if now_ms - sent.sent_ms >= CODE_MS || sent.tries >= CODE_TRIES {
            return Err(Refused::because("expired"));
        }
        sent.tries += 1;
        if sent.code != given {
            return Err(Refused::because("mismatch"));
        }
        self.registered = true;
        self.vname = std::mem::take(&mut sent.vname);
        self.code = None;
        Ok(self.vname.clone())
    }
}

impl From<wire::AccountProfile> for Profile {
    fn from(given: wire::AccountProfile) -> Self {
        let wire::AccountProfile { address, description, email, vertical, websites, about } = given;
        Self { address, description, email, vertical, websites, about }
    }
}

/// The name in a certificate: protocol buffers with the details in field 1, and in those the name in
/// field 4; for tests also the plain name.
fn vname(cert: &Bytes) -> Option<String> {
    let within = field(cert, 1).and_then(|details| field(&details, 4));
    let name = within.unwrap_or_else(|| cert.clone());
    let name = std::str::from_utf8(&name).ok()?.trim();
    let good = !name.is_empty()
        && name.chars().count() <= VNAME_MAX
        && !name.chars().any(char::is_control);
    good.then(|| name.to_owned())
}

/// The last length-delimited field of that number; `None` when these are no protocol buffers.
fn field(message: &Bytes, wanted: u32) -> Option<Bytes> {
    use prost::encoding::{WireType, decode_key, decode_varint};
    let (mut rest, mut found) = (message.clone(), None);
    while !rest.is_empty() {
        let (number, kind) = decode_key(&mut rest).ok()?;
        match kind {
            WireType::Varint => {
                decode_varint(&mut rest).ok()?;
            }
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
                let value = (length <= rest.len()).then(|| rest.split_to(length))?;
                if number == wanted {
                    found = Some(value);
                }
            }
            _ => return None,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(cert: &'static [u8], pin: &str) -> wire::RequestCode {
        wire::RequestCode { cert: cert.into(), pin: pin.to_owned(), ..Default::default() }
    }

    #[test]
    fn the_name_is_read_from_a_certificate_or_is_the_certificate() {
        // details { 1: 7, 2: "smb", 4: "Shop" }, signature "xx"
        let cert = b"\x0a\x0d\x08\x07\x12\x03smb\x22\x04Shop\x12\x02xx";
        assert_eq!(vname(&Bytes::from_static(cert)).as_deref(), Some("Shop"));
        assert_eq!(vname(&Bytes::from_static(b"Example Ltd")).as_deref(), Some("Example Ltd"));
        for bad in [&b"\xff\xfe"[..], b"", b" ", b"a\x00b"] {
            assert_eq!(vname(&Bytes::copy_from_slice(bad)), None, "{bad:?}");
        }
    }

    #[test]
    fn a_code_registers_once_within_its_time_and_its_tries() {
        let mut business = Registration::default();
        assert!(business.request(&asked(b"Shop", ""), 1_234_567, 0).is_ok());
        for _ in 0..4 {
            let refused = business.verify("000000", 1).err().unwrap();
            assert_eq!(refused.details, "Registration failed for reason 'mismatch'.");
        }
        assert_eq!(business.verify("234567", 1).ok().as_deref(), Some("Shop"));
        assert!(business.registered);
        assert!(business.verify("234567", 1).is_err(), "it is used up");
        assert!(business.request(&asked(b"Shop", ""), 1, 0).is_ok());
        assert!(business.verify("000001", CODE_MS).is_err(), "too late");
    }

    #[test]
    fn shards_are_for_who_has_the_certificate_and_the_pin() {
        let business = Registration {
            registered: true,
            vname: "Shop".into(),
            two_step: Some("123456".into()),
            ..Default::default()
        };
        let wish = |cert: &'static [u8], pin: &str| {
            business.shards(&wire::Shards { shards: 2, cert: cert.into(), pin: pin.into() })
        };
        assert!(wish(b"Shop", "123456").is_ok());
        for (cert, pin) in
            [(&b"Stop"[..], "123456"), (b"", "123456"), (b"Shop", ""), (b"Shop", "1")]
        {
            assert!(wish(cert, pin).is_err(), "{cert:?} {pin}");
        }
    }

    #[test]
    fn without_the_pin_there_is_no_code_and_whoever_asks_too_often_waits() {
        let mut business = Registration { two_step: Some("123456".into()), ..Default::default() };
        for pin in ["", "654321"] {
            assert!(business.request(&asked(b"Shop", pin), 1, 0).is_err());
        }
        for _ in 2..REQUESTS_MAX {
            assert!(business.request(&asked(b"Shop", "123456"), 1, 60_000).is_ok());
        }
        let refused = business.request(&asked(b"Shop", "123456"), 1, 420_000).err().unwrap();
        assert_eq!(refused.details, "Please wait 0 hour(s) 53 minute(s) before trying again");
        assert!(business.request(&asked(b"Shop", "123456"), 1, WINDOW_MS).is_ok());
    }
}
