//! What has to be known before the first connection is let in: the health snapshot, the devices that were paired with
//! OpenClaw before loopgate came, and whether the runtime is there.

use std::sync::Arc;

use super::Gateway;
use super::dispatch::Waiting;
use super::job::{Job, Pairings};
use super::saves::Then;
use crate::clock::Now;
use crate::config::Resolved;
use crate::config::gateway::AuthMode;
use crate::journal::{Entry, Field, Kind};

impl Gateway {
    /// Asks for everything that is needed before [`Gateway::accepting`] may be true.
    pub(super) fn start(&mut self, now: Now) {
        self.note_secret(now);
        self.refresh_health(now);
        if !self.pairing.store().imported() {
            self.run(Job::Pairings { setup: Arc::clone(&self.setup) }, Waiting::Pairings);
            self.importing = true;
        }
    }

    /// Whether that has come.
    pub(super) fn started(&self) -> bool {
        self.health.is_known() && !self.importing && self.upstream.runtime.is_known()
    }

    /// OpenClaw's own pairings were read. A file that cannot be understood is left alone and tried again at the next
    /// start; the devices in it have to pair again until then.
    pub(super) fn import(&mut self, found: Result<Option<Pairings>, String>, now: Now) {
        let imported = found.and_then(|found| match found {
            Some(files) => self.pairing.import(&files.devices, files.nodes.as_deref()),
            None => Ok(None),
        });
        match imported {
            Ok(Some(imported)) => {
                let entry = Entry::new(Kind::DevicesImported).with(Field::Count, imported.devices);
                self.note(entry, now);
                self.when_durable(imported.revision, Then::Imported, now);
            }
            Ok(None) => self.importing = false,
            Err(cause) => {
                self.importing = false;
                let entry = Entry::new(Kind::ImportFailed)
                    .with(Field::Cause, cause)
                    .with(Field::Remedy, IMPORT_REMEDY);
                self.note(entry, now);
            }
        }
    }

    /// Says at start and at reload that a token was made, and why nobody will be able to prove anything, if that is so.
    pub(super) fn note_secret(&mut self, now: Now) {
        if let Some(made) = &self.setup.made {
            let entry = Entry::new(Kind::TokenMade)
                .with(Field::File, made.file.display().to_string())
                .with(Field::Remedy, format!("give it to clients; {} shows it", made.command));
            self.note(entry, now);
        }
        let auth = &self.setup.openclaw.gateway.auth;
        let (secret, remedy) = match auth.mode {
            AuthMode::None => return,
            AuthMode::Token => (&auth.token, TOKEN_REMEDY),
            AuthMode::Password => (&auth.password, PASSWORD_REMEDY),
        };
        let cause = match secret {
            Resolved::Set(_) => return,
            Resolved::Missing => format!("mode {} is set and no {0} is", auth.mode.name()),
            Resolved::Unresolvable(reason) => reason.clone(),
        };
        let entry = Entry::new(Kind::SecretUnusable).with(Field::Cause, cause).with(Field::Remedy, remedy);
        self.note(entry, now);
    }
}

const IMPORT_REMEDY: &str =
    "mend or remove the file and restart loopgated; until then those devices have to pair again";
const TOKEN_REMEDY: &str =
    "set gateway.auth.token in openclaw.json, OPENCLAW_GATEWAY_TOKEN, or LoadCredential=gateway-token:FILE";
const PASSWORD_REMEDY: &str = "set gateway.auth.password in openclaw.json, OPENCLAW_GATEWAY_PASSWORD, or LoadCredential=gateway-password:FILE";
