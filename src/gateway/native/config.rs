//! `config.get` and `config.schema.lookup`: OpenClaw's configuration as this gateway uses it, without secrets.

use crate::config::schema::schema_lookup;
use crate::config::view::{Form, config_get};
use crate::gateway::job::Query;
use crate::wire::Protocol;
use crate::wire::error::ErrorShape;

use super::answer::{Answer, checked, no_params, params, say};

/// `config.get`: the configuration in use.
pub(in crate::gateway) fn get(query: &Query<'_>) -> Answer {
    no_params(query, "config.get")?;
    let form = match query.protocol {
        Protocol::V3 => Form::V3,
        Protocol::V4 => Form::V4 { key: &query.live.hash_key },
    };
    say(&config_get(&query.setup.openclaw, form))
}

/// `config.schema.lookup`: what a key may hold, as far as this gateway reads it. The whole schema is the runtime's.
pub(in crate::gateway) fn schema_lookup_of(query: &Query<'_>) -> Answer {
    const METHOD: &str = "config.schema.lookup";
    let mut reader = params(query, METHOD)?;
    let path = reader.required_name("path");
    let known = |c: char| c.is_ascii_alphanumeric() || "_./[]-*".contains(c);
    if path.chars().count() > PATH_CHARS_MAX {
        reader.wrong::<()>("path", &format!("must NOT have more than {PATH_CHARS_MAX} characters"));
    }
    if !path.chars().all(known) {
        reader.wrong::<()>("path", "must be keys joined by dots");
    }
    checked(reader, METHOD)?;
    let found = schema_lookup(path).ok_or_else(|| ErrorShape::invalid("config schema path not found"))?;
    say(&found)
}

const PATH_CHARS_MAX: usize = 1_024;
