//! What a `PATCH` may change, and to what.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    Application, BATCH_MAX, BURST, CACHE_DAYS, CONCURRENT_REQUESTS, DEAD_LETTER_DAYS, DELAY_MS,
    HEARTBEAT_S, Heliograph, JOBS_MAX, MAX_AGE_S, MAX_NOTE, MAX_SECRETS, MAX_URL, MIN_FREE_MB,
    MediaType, OwnWebhooks, PER_SECOND, QUEUE_MAX, RETENTION_S, SecretError, SigningSecret,
    UNDELIVERED_AFTER_S, UNHEALTHY_S, Webhooks,
};
use crate::{
    error::ApiError,
    fields::{self, Fields},
    link::is_http,
};

pub(super) fn apply(to: &mut Application, mut fields: Fields) -> Result<(), ApiError> {
    let f = &mut fields;
    set(
        &mut to.callback_backoff_delay_ms,
        f.optional_int_or_text("callback_backoff_delay_ms", &DELAY_MS)?,
    );
    set(
        &mut to.max_callback_backoff_delay_ms,
        f.optional_int_or_text("max_callback_backoff_delay_ms", &DELAY_MS)?,
    );
    set(&mut to.callback_persist, f.optional_bool("callback_persist")?);
    set(&mut to.heartbeat_interval, f.optional_int("heartbeat_interval", &HEARTBEAT_S)?);
    set(&mut to.unhealthy_interval, f.optional_int("unhealthy_interval", &UNHEALTHY_S)?);
    set(&mut to.pass_through, f.optional_bool("pass_through")?);
    set(&mut to.notify_user_change_number, f.optional_bool("notify_user_change_number")?);
    set(&mut to.show_security_notifications, f.optional_bool("show_security_notifications")?);
    if let Some(mut gc) = f.optional_object("garbagecollector_enable")? {
        set(&mut to.garbagecollector_enable.messages, gc.optional_bool("messages")?);
        set(&mut to.garbagecollector_enable.media, gc.optional_bool("media")?);
        gc.finish()?;
    }
    if let Some(enable) = f.optional_bool("db_garbagecollector_enable")? {
        to.db_garbagecollector_enable = Some(enable);
    }
    set(
        &mut to.axolotl_context_striping_disabled,
        f.optional_bool("axolotl_context_striping_disabled")?,
    );
    set(&mut to.skip_referral_media_download, f.optional_bool("skip_referral_media_download")?);
    set(
        &mut to.webhook_payload_conversation_pricingmodel_disabled,
        f.optional_bool("webhook_payload_conversation_pricingmodel_disabled")?,
    );
    if let Some(pager) = note(f, "on_call_pager")? {
        to.on_call_pager = Some(pager);
    }
    set(&mut to.verbose_logging, f.optional_bool("verbose_logging")?);
    set(&mut to.log_level, note(f, "log_level")?);
    if let Some(mut media) = f.optional_object("media")? {
        set(&mut to.media.auto_download, media_types(&mut media)?);
        media.finish()?;
    }
    let before = to.webhooks.message.sent;
    let older_name = f.optional_bool("sent_status")?;
    if let Some(webhooks) = f.optional_object("webhooks")? {
        apply_webhooks(&mut to.webhooks, webhooks)?;
    }
    // Of two names that differ one is as it was: who knows only the older one sends the newer one
    // back as GET showed it.
    set(&mut to.webhooks.message.sent, older_name.filter(|sent| *sent != before));
    if let Some(ours) = f.optional_object("heliograph")? {
        apply_heliograph(&mut to.heliograph, ours)?;
    }
    f.take("wa_id");
    fields.finish()
}

fn apply_webhooks(to: &mut Webhooks, mut fields: Fields) -> Result<(), ApiError> {
    set(&mut to.url, url(&mut fields)?);
    set(
        &mut to.max_concurrent_requests,
        fields.optional_int("max_concurrent_requests", &CONCURRENT_REQUESTS)?,
    );
    if let Some(mut message) = fields.optional_object("message")? {
        set(&mut to.message.sent, message.optional_bool("sent")?);
        set(&mut to.message.delivered, message.optional_bool("delivered")?);
        set(&mut to.message.read, message.optional_bool("read")?);
        message.finish()?;
    }
    fields.finish()
}

fn apply_heliograph(to: &mut Heliograph, mut fields: Fields) -> Result<(), ApiError> {
    if let Some(mut jobs) = fields.optional_object("jobs")? {
        set(&mut to.jobs.max, jobs.optional_int("max", &JOBS_MAX)?);
        jobs.finish()?;
    }
    if let Some(mut quotas) = fields.optional_object("quotas")? {
        let to = &mut to.quotas;
        set(&mut to.messages_per_second, quotas.optional_int("messages_per_second", &PER_SECOND)?);
        set(&mut to.contacts_per_second, quotas.optional_int("contacts_per_second", &PER_SECOND)?);
        set(&mut to.burst, quotas.optional_int("burst", &BURST)?);
        quotas.finish()?;
    }
    if let Some(mut callbacks) = fields.optional_object("callbacks")? {
        let to = &mut to.callbacks;
        if let Some(given) = callbacks.take("when_full") {
            to.when_full = one_of(&given).ok_or_else(|| {
                callbacks.invalid("when_full", fields::shown(&given), "'refuse' or 'keep_sending'")
            })?;
        }
        set(&mut to.queue_max, callbacks.optional_int("queue_max", &QUEUE_MAX)?);
        set(&mut to.max_age_s, callbacks.optional_int("max_age_s", &MAX_AGE_S)?);
        set(
            &mut to.dead_letter_days,
            callbacks.optional_int("dead_letter_days", &DEAD_LETTER_DAYS)?,
        );
        set(&mut to.min_free_mb, callbacks.optional_int("min_free_mb", &MIN_FREE_MB)?);
        callbacks.finish()?;
    }
    if let Some(mut events) = fields.optional_object("events")? {
        set(&mut to.events.retention_s, events.optional_int("retention_s", &RETENTION_S)?);
        events.finish()?;
    }
    if let Some(mut contacts) = fields.optional_object("contacts")? {
        set(&mut to.contacts.always_valid, contacts.optional_bool("always_valid")?);
        set(&mut to.contacts.cache_days, contacts.optional_int("cache_days", &CACHE_DAYS)?);
        contacts.finish()?;
    }
    if let Some(mut messages) = fields.optional_object("messages")? {
        let to = &mut to.messages;
        set(&mut to.undelivered_notice, messages.optional_bool("undelivered_notice")?);
        set(
            &mut to.undelivered_after_s,
            messages.optional_int("undelivered_after_s", &UNDELIVERED_AFTER_S)?,
        );
        messages.finish()?;
    }
    if let Some(mut web) = fields.optional_object("web")? {
        let to = &mut to.web;
        set(&mut to.per_user, web.optional_int("per_user", &PER_SECOND)?);
        set(&mut to.per_address, web.optional_int("per_address", &PER_SECOND)?);
        set(&mut to.login_per_address, web.optional_int("login_per_address", &PER_SECOND)?);
        set(
            &mut to.login_failures_per_name,
            web.optional_int("login_failures_per_name", &PER_SECOND)?,
        );
        web.finish()?;
    }
    if let Some(webhooks) = fields.optional_object("webhooks")? {
        apply_own_webhooks(&mut to.webhooks, webhooks)?;
    }
    fields.finish()
}

fn apply_own_webhooks(to: &mut OwnWebhooks, mut fields: Fields) -> Result<(), ApiError> {
    set(&mut to.batch_max, fields.optional_int("batch_max", &BATCH_MAX)?);
    if let Some(given) = fields.optional_array("secrets")? {
        let read = |value: &Value| value.as_str().and_then(|text| text.to_owned().try_into().ok());
        let secrets: Option<Vec<SigningSecret>> = given.iter().map(read).collect();
        // What was given may be a secret with a slip in it: it is not repeated.
        let secrets = secrets.filter(|secrets| secrets.len() <= MAX_SECRETS).ok_or_else(|| {
            let expected = format_args!("at most {MAX_SECRETS} texts; {SecretError}");
            fields.invalid("secrets", "(not shown)", expected)
        })?;
        to.secrets = secrets;
    }
    // As GET shows it.
    fields.take("signed");
    fields.finish()
}

fn set<T>(to: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *to = given;
    }
}

fn one_of<T: DeserializeOwned>(given: &Value) -> Option<T> {
    T::deserialize(given).ok()
}

fn note(fields: &mut Fields, name: &str) -> Result<Option<String>, ApiError> {
    let text = fields.optional_str(name)?;
    match text {
        Some(text) if text.chars().nth(MAX_NOTE).is_some() => Err(fields.invalid(
            name,
            fields::quoted(&text),
            format_args!("a text of at most {MAX_NOTE} characters"),
        )),
        text => Ok(text),
    }
}

fn media_types(media: &mut Fields) -> Result<Option<Vec<MediaType>>, ApiError> {
    let Some(given) = media.optional_array("auto_download")? else { return Ok(None) };
    let mut types = Vec::with_capacity(MediaType::ALL.len());
    for value in given {
        let kind = one_of(&value).ok_or_else(|| {
            media.invalid(
                "auto_download",
                fields::shown(&value),
                "'audio', 'document', 'image', 'sticker', 'video' and 'voice'",
            )
        })?;
        if !types.contains(&kind) {
            types.push(kind);
        }
    }
    Ok(Some(types))
}

/// Parsed as the sender of callbacks will parse it. Whether the address may be called at all is the
/// sender's to check, when it calls.
fn url(webhooks: &mut Fields) -> Result<Option<String>, ApiError> {
    let Some(given) = webhooks.optional_str("url")? else { return Ok(None) };
    if given.is_empty() || (given.len() <= MAX_URL && is_http(&given)) {
        return Ok(Some(given));
    }
    // The part before `@` and the query may be credentials.
    let shown = given.split(['?', '#']).next().unwrap_or_default();
    let shown = shown.rsplit('@').next().unwrap_or_default();
    Err(webhooks.invalid(
        "url",
        fields::quoted(shown),
        format_args!("an http or https URL of at most {MAX_URL} bytes, or an empty text"),
    ))
}
