//! Random configurations full of secrets, none of which may show.

use loopgate::config::view::{Form, config_get};

use super::{CONFIG, World, alike};

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).expect("a small number")
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }
}

/// Writes random configurations, and remembers the secrets it put in.
struct Author {
    dice: Dice,
    secrets: Vec<String>,
    /// Those that comments may repeat. What a variable holds that only a shadowed key names, nobody looks up.
    repeated: Vec<String>,
    world: World,
}

impl Author {
    fn secret(&mut self) -> String {
        let secret = format!("canary-{}-{}", self.secrets.len(), self.dice.roll(1_000_000));
        self.secrets.push(secret.clone());
        self.repeated.push(secret.clone());
        secret
    }

    fn space(&mut self) -> String {
        match self.dice.roll(8) {
            0 => "\n".to_owned(),
            1 => " /* kept: a note */ ".to_owned(),
            2 => " // kept note\n\t".to_owned(),
            3 => format!(
                " // {}: {}\n",
                self.dice.pick(&["token", "\"apiKey\"", "MY_PASSWORD"]),
                self.secret()
            ),
            4 => match self.repeated.len() {
                0 => String::new(),
                n => format!(" /* was {} */ ", self.repeated[self.dice.roll(n)].clone()),
            },
            _ => " ".to_owned(),
        }
    }

    fn string(&mut self, text: &str) -> String {
        match self.dice.roll(4) {
            0 => format!("'{text}'"),
            1 => format!("'{}'", text.replacen('a', "\\u0061", 1)),
            2 => format!("\"{}\"", text.replacen('c', "\\x63", 1)),
            _ => format!("\"{text}\""),
        }
    }

    /// A value whose text is a secret, in one of the ways it can be one.
    fn secret_value(&mut self) -> String {
        let secret = self.secret();
        match self.dice.roll(5) {
            0 => {
                self.repeated.pop();
                let name = format!("VAR_{}", self.secrets.len());
                self.world.env.insert(name.clone(), secret);
                format!("'${{{name}}}'")
            }
            1 => format!("{{ source: 'env', provider: 'default', id: {} }}", self.string(&secret)),
            2 => format!("{{ x: [{}] }}", self.string(&secret)),
            _ => self.string(&secret),
        }
    }

    fn member(&mut self, depth: usize) -> String {
        let key = self.dice.pick(&["a", "b", "'c d'", "\"e.f\"", "list", "name"]);
        let secret_key =
            self.dice.pick(&["token", "botToken", "password", "'api-key'", "clientSecret", "apiKey"]);
        match self.dice.roll(7) {
            0 | 1 => format!("{secret_key}:{}{}", self.space(), self.secret_value()),
            2 => {
                let secret = self.secret();
                format!("env: {{ vars: {{ V: {} }} }}", self.string(&secret))
            }
            3 => {
                let secret = self.secret();
                format!("url: 'https://u:{secret}@host/'")
            }
            4 if depth < 4 => format!("{key}:{}{}", self.space(), self.object(depth + 1)),
            5 if depth < 4 => format!("{key}: [{},{}]", self.object(depth + 1), self.object(depth + 1)),
            _ => format!("{key}: {}", self.dice.pick(&["1", "true", "null", "'plain'", "[1, 2,]", "0x1F"])),
        }
    }

    fn object(&mut self, depth: usize) -> String {
        let mut text = format!("{}{{", self.space());
        for _ in 0..self.dice.roll(5) {
            let (before, member, after) = (self.space(), self.member(depth), self.space());
            text.extend([before, member, after, ",".to_owned()]);
        }
        text.push_str(&self.space());
        text.push('}');
        text
    }
}

#[test]
fn no_secret_survives_in_what_is_shown() {
    let mut secrets = 0;
    for seed in 1..=400 {
        let dice = Dice(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let mut author = Author { dice, secrets: Vec::new(), repeated: Vec::new(), world: World::default() };
        let text = format!("/* kept: first */{}", author.object(0));
        secrets += author.secrets.len();
        let config = author.world.clone().file(CONFIG, &text).load().expect("a configuration");
        for form in [Form::V3, Form::V4 { key: &[3; 32] }] {
            let payload = config_get(&config, form);
            let shown = payload.to_string();
            for secret in &author.secrets {
                assert!(!shown.contains(secret.as_str()), "seed {seed}: {secret}\n{text}\n{payload:#}");
            }
            let raw = payload["raw"].as_str().expect("a text");
            let again = World::with(raw).load().expect("a valid text").parsed;
            assert!(alike(&again, &payload["parsed"]), "seed {seed}: {raw}");
            assert!(raw.starts_with("/* kept: first */"), "seed {seed}: comments are lost\n{raw}");
            assert_eq!(raw.matches("kept note").count(), text.matches("kept note").count(), "seed {seed}");
        }
    }
    assert!(secrets > 1_000, "{secrets} secrets are too few to tell anything");
}
