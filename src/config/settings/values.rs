//! Single values of `loopgate.conf`: numbers within bounds, users, groups, scopes, origins, versions.

use std::net::Ipv6Addr;
use std::time::Duration;

use super::super::error::ConfigError;
use super::super::read::At;
use super::UserRef;
use super::table::OPERATOR_SCOPES;
use crate::limits::{self, SETTINGS_LIST_MAX, UNIT_NAME_CHARS_MAX, VERSION_CHARS_MAX};

pub(super) fn millis(at: &At<'_>, span: limits::Span) -> Result<Option<Duration>, ConfigError> {
    let millis = at.whole(crate::clock::millis(span.min), crate::clock::millis(span.max))?;
    Ok(millis.map(Duration::from_millis))
}

pub(super) fn count(at: &At<'_>, bounds: limits::Count) -> Result<usize, ConfigError> {
    let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let number = at.whole(wide(bounds.min), wide(bounds.max))?;
    Ok(number.and_then(|number| usize::try_from(number).ok()).unwrap_or(bounds.default))
}

pub(super) fn port(at: &At<'_>) -> Result<Option<u16>, ConfigError> {
    Ok(at.whole(1, u64::from(u16::MAX))?.and_then(|port| u16::try_from(port).ok()))
}

fn bounded_items<'a>(at: &At<'a>) -> Result<Vec<At<'a>>, ConfigError> {
    let items = at.items()?;
    if items.len() > SETTINGS_LIST_MAX {
        return Err(at.bad(format!("write at most {SETTINGS_LIST_MAX} entries")));
    }
    Ok(items)
}

pub(super) fn users(at: &At<'_>) -> Result<Vec<UserRef>, ConfigError> {
    bounded_items(at)?.iter().map(user).collect()
}

/// A name, a number as such or as text, or `%` with the name of a group. The highest number stands for "nobody named" in the kernel's calls.
fn user(at: &At<'_>) -> Result<UserRef, ConfigError> {
    let uid = |number: u64| match u32::try_from(number) {
        Ok(uid) if uid != u32::MAX => Ok(UserRef::Uid(uid)),
        _ => Err(at.bad("not a user id".to_owned())),
    };
    if let Some(number) = at.value().and_then(serde_json::Value::as_u64) {
        return uid(number);
    }
    let name = at.trimmed()?.unwrap_or_default();
    if let Ok(number) = name.parse::<u64>() {
        return uid(number);
    }
    match name.strip_prefix('%') {
        Some(group) if is_name(group) => Ok(UserRef::Group(group.to_owned())),
        // A number would be taken for a user's by whoever reads it.
        Some(_) => Err(at.bad("not a group name, write '%' and a group by its name".to_owned())),
        None if is_name(name) => Ok(UserRef::Name(name.to_owned())),
        None => {
            Err(at
                .bad("not a user name, write a login name, a numeric user id, or '%' and a group".to_owned()))
        }
    }
}

/// What users and groups may be called.
fn is_name(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let word = |c: char| first(c) || c.is_ascii_digit() || matches!(c, '-' | '.');
    name.starts_with(first) && name.chars().all(word) && name.len() <= NAME_CHARS_MAX
}

pub(super) fn ceiling(at: &At<'_>) -> Result<Option<Vec<String>>, ConfigError> {
    if at.value().is_none() {
        return Ok(None);
    }
    let scope = |at: &At<'_>| {
        let name = at.trimmed()?.unwrap_or_default();
        if OPERATOR_SCOPES.contains(&name) {
            return Ok(name.to_owned());
        }
        Err(at.bad(format!("not a scope, write one of {}", OPERATOR_SCOPES.join(", "))))
    };
    bounded_items(at)?.iter().map(scope).collect::<Result<_, _>>().map(Some)
}

pub(super) fn origins(at: &At<'_>) -> Result<Vec<String>, ConfigError> {
    let origin = |at: &At<'_>| {
        let text = at.trimmed()?.unwrap_or_default();
        parse_origin(text).ok_or_else(|| {
            at.bad(
                "not an origin, write http:// or https://, a host, and a port if it is not the usual one"
                    .to_owned(),
            )
        })
    };
    bounded_items(at)?.iter().map(origin).collect()
}

/// An origin as browsers write it: in lower case, without the usual port, without a path.
fn parse_origin(text: &str) -> Option<String> {
    let text = text.to_lowercase();
    let (scheme, rest) = text.split_once("://")?;
    let usual = match scheme {
        "http" => "80",
        "https" => "443",
        _ => return None,
    };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => host.split('.').all(is_host_label),
    };
    if !is_host {
        return None;
    }
    match port {
        None => Some(format!("{scheme}://{host}")),
        Some(port) if port == usual => Some(format!("{scheme}://{host}")),
        Some(port) => {
            let number: u16 =
                port.parse().ok().filter(|&number| number > 0 && !port.starts_with(['+', '0']))?;
            Some(format!("{scheme}://{host}:{number}"))
        }
    }
}

fn is_host_label(label: &str) -> bool {
    !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

pub(super) fn version(at: &At<'_>) -> Result<Option<String>, ConfigError> {
    let Some(version) = at.text()? else { return Ok(None) };
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_');
    if (1..=VERSION_CHARS_MAX).contains(&version.len()) && version.chars().all(word) {
        return Ok(Some(version.to_owned()));
    }
    Err(at.bad(format!("write 1 to {VERSION_CHARS_MAX} letters, digits and .+-_")))
}

/// A service unit's name. It is handed to the service manager and written into units, so nothing but plain letters is
/// taken; a template wants its instance, for by itself it cannot be started.
pub(super) fn service(at: &At<'_>) -> Result<Option<String>, ConfigError> {
    let Some(name) = at.text()? else { return Ok(None) };
    if is_service(name) {
        return Ok(Some(name.to_owned()));
    }
    Err(at.bad(format!(
        "write the name of a service unit, at most {UNIT_NAME_CHARS_MAX} letters, digits and @._-"
    )))
}

fn is_service(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '@' | '.' | '_' | '-');
    let stem = name.strip_suffix(".service").unwrap_or_default();
    let plain = name.len() <= UNIT_NAME_CHARS_MAX && name.chars().all(word);
    plain && stem.starts_with(|c: char| c.is_ascii_alphanumeric()) && !stem.ends_with('@')
}

/// The system's tools take no longer names of users and groups.
const NAME_CHARS_MAX: usize = 32;
