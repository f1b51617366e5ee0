//! `call`: any method, and the hiding of secrets in what comes back.

use serde_json::Value;
use serde_json::value::RawValue;

use super::{Form, Shown};
use crate::cli::failure::Failure;
use crate::cli::json::pretty;
use crate::cli::link::Link;
use crate::cli::need::CLASSIC;
use crate::cli::screen::{Screen, Span, Tone};
use crate::cli::sources;
use crate::config::redact::Redactor;
use crate::limits::CLI_PARAMS_BYTES_MAX;

/// `loopgate call METHOD`.
pub(crate) fn run(method: &str, params: &str, link: &mut Link<'_>, form: Form) -> Result<Shown, Failure> {
    if method.is_empty() || method == "connect" {
        return Err(Failure::usage("name a method; connect is made for every command"));
    }
    let text = if params == "-" {
        sources::text(std::io::stdin().lock(), CLI_PARAMS_BYTES_MAX)
            .map_err(|cause| Failure::usage(format!("--params from standard input: {cause}")))?
    } else {
        params.to_owned()
    };
    // Checked here: a gateway would answer under the id `invalid`, and nobody would know what it meant.
    let params: Box<RawValue> = serde_json::from_str(text.trim()).map_err(|error| {
        Failure::usage(format!("--params is not JSON: {error}")).next("--params '{\"key\": 1}'")
    })?;
    link.ask_for_scopes(&CLASSIC);
    let payload = link.call_raw(method, &params)?;
    form.show(&payload, tree)
}

/// `value` as an indented tree, secrets hidden by the rule that the gateway has for its configuration.
pub(crate) fn tree(screen: &mut Screen, value: &Value) {
    let shown = Redactor::new(&[value]).value(value);
    for line in pretty(&shown.to_string()).lines() {
        screen.line(&[line.into()]);
    }
    if shown != *value {
        screen.line(&[Span::new("What looks like a secret is hidden; --json shows it.", Tone::Dim)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_hidden_wherever_they_stand() {
        let value = json!({
            "paired": [{"nodeId": "n", "token": "canary", "tokens": [{"role": "operator"}]}],
            "auth": {"api_key": "canary", "botToken": "canary", "mode": "token", "token": "__OPENCLAW_REDACTED__"},
            "raw": "{token: 'canary'}", "totalTokens": 7, "password": "",
        });
        let mut screen = Screen::new(false, 0);
        tree(&mut screen, &value);
        let text = screen.finish();
        assert!(!text.contains("canary"), "{text}");
        assert!(text.contains("\"totalTokens\": 7") && text.ends_with("--json shows it.\n"), "{text}");
        assert!(text.contains("\"mode\": \"token\"") && text.contains("REDACTED"), "{text}");
    }
}
