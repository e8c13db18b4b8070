//! Profiles of the AWS tools: `~/.aws/config` and `~/.aws/credentials`.
//!
//! Ours and not the SDK's: that one reads the environment whenever it fetches credentials, on threads where Python may
//! be changing it, and it asks for a newer compiler than this workspace does.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use configparser::ini::{Ini, IniDefault};

use super::s3::{AwsContainer, AwsKeys, AwsLogin, AwsRole, keys_of_environment};
use super::{Secret, Watched, config, home, var};
use crate::error::Result;

/// Roles that are assumed on behalf of other roles end after so many steps; a cycle does not end at all.
const DEEPEST: usize = 5;

/// The profile that holds for this process, and the files it may be in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ProfileFiles {
    config: Option<Watched>,
    credentials: Option<Watched>,
    /// The profile's name.
    pub(crate) name: String,
    /// Whether `AWS_PROFILE` names it; otherwise it need not exist.
    named: bool,
    /// Keys of the environment, for profiles that point there.
    keys: Option<AwsKeys>,
}

type Section = HashMap<String, String>;

impl ProfileFiles {
    /// The files and the name that the environment gives.
    pub(super) fn from_env() -> Self {
        let file = |name: &str, default: &str| {
            let path = var(name).map(PathBuf::from).or_else(|| home().map(|home| home.join(default)));
            path.map(Watched::look)
        };
        let name = var("AWS_PROFILE").or_else(|| var("AWS_DEFAULT_PROFILE"));
        Self {
            config: file("AWS_CONFIG_FILE", ".aws/config"),
            credentials: file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
            named: name.is_some(),
            name: name.unwrap_or_else(|| "default".into()),
            keys: keys_of_environment(),
        }
    }

    /// The same files as they are now; for threads that must not read the environment.
    fn again(&self) -> Self {
        let look = |file: &Option<Watched>| file.as_ref().map(|file| Watched::look_again(&file.path));
        Self { config: look(&self.config), credentials: look(&self.credentials), ..self.clone() }
    }

    /// Reads the profile; `None` where nobody named one and there is none.
    pub(super) fn load(&self) -> Result<Option<Profile>> {
        let sections = self.sections()?;
        if sections.contains_key(&self.name) {
            return Ok(Some(Profile { files: self.clone(), sections: Arc::new(sections) }));
        }
        if self.named {
            let expected = "the name of a profile in the config file or the credentials file of AWS";
            return Err(config("AWS_PROFILE", &self.name, expected));
        }
        Ok(None)
    }

    fn sections(&self) -> Result<HashMap<String, Section>> {
        let mut all: HashMap<String, Section> = HashMap::new();
        for (name, text) in read("AWS_CONFIG_FILE", self.config.as_ref())? {
            let profile = name.strip_prefix("profile ").map(str::trim).or((name == "default").then_some("default"));
            if let Some(profile) = profile {
                all.entry(profile.to_owned()).or_default().extend(text);
            }
        }
        // What stands in both is taken from the file of credentials.
        for (name, text) in read("AWS_SHARED_CREDENTIALS_FILE", self.credentials.as_ref())? {
            all.entry(name).or_default().extend(text);
        }
        Ok(all)
    }
}

fn read(option: &str, file: Option<&Watched>) -> Result<Vec<(String, Section)>> {
    let Some(file) = file.filter(|file| file.exists()) else { return Ok(Vec::new()) };
    let path = file.path.to_string_lossy();
    let bad = |why: String| config(option, &path, &format!("a readable file of profiles ({why})"));
    let text = file.read().map_err(|source| bad(source.to_string()))?;
    let mut syntax = IniDefault::default();
    syntax.case_sensitive = true;
    syntax.delimiters = vec!['='];
    // Secrets and command lines may hold the characters that begin a comment.
    syntax.inline_comment_symbols = Some(Vec::new());
    // The parser's message may quote a line, and lines hold secrets.
    let parsed =
        Ini::new_from_defaults(syntax).read(text.to_string()).map_err(|_| bad("its syntax is wrong".into()))?;
    let section = |values: HashMap<String, Option<String>>| {
        values.into_iter().filter_map(|(key, value)| Some((key.to_ascii_lowercase(), value?))).collect()
    };
    Ok(parsed.into_iter().map(|(name, values)| (name, section(values))).collect())
}

/// A profile with all its neighbours, which it may point to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile {
    files: ProfileFiles,
    sections: Arc<HashMap<String, Section>>,
}

impl Profile {
    fn of(&self, name: &str, key: &str) -> Option<String> {
        self.sections.get(name)?.get(key).filter(|value| !value.is_empty()).cloned()
    }

    /// A value of the profile.
    pub(super) fn get(&self, key: &str) -> Option<String> {
        self.of(&self.files.name, key)
    }

    /// The name of the profile.
    pub(super) fn name(&self) -> &str {
        &self.files.name
    }

    /// How the profile logs in; `None` where it does not say.
    pub(super) fn login(&self) -> Result<Option<AwsLogin>> {
        let login = self.login_of(&self.files.name, DEEPEST)?;
        Ok(login.map(|found| AwsLogin::Profile(AwsProfile { files: self.files.clone(), found: Arc::new(found) })))
    }

    fn login_of(&self, name: &str, deepest: usize) -> Result<Option<AwsLogin>> {
        let get = |key: &str| self.of(name, key);
        let bad = |found: &str, expected: &str| config(&format!("profile {name}"), found, expected);
        if let Some(arn) = get("role_arn") {
            return self.role(name, arn, deepest).map(Some);
        }
        match (get("aws_access_key_id"), get("aws_secret_access_key")) {
            (Some(id), Some(secret)) => {
                let token = get("aws_session_token").map(Secret);
                return Ok(Some(AwsLogin::Keys(AwsKeys { id, secret: Secret(secret), token })));
            }
            (Some(_), None) => return Err(bad("aws_access_key_id", "aws_secret_access_key beside it")),
            (None, Some(_)) => return Err(bad("aws_secret_access_key", "aws_access_key_id beside it")),
            (None, None) => {}
        }
        if let Some(command) = get("credential_process") {
            return Ok(Some(AwsLogin::Process(command)));
        }
        if get("sso_session").is_some() || get("sso_start_url").is_some() {
            let other = format!("credential_process = aws configure export-credentials --profile {name}");
            return Err(bad("a login by SSO", &format!("another login, such as {other:?} in a profile of its own")));
        }
        Ok(None)
    }

    fn role(&self, name: &str, arn: String, deepest: usize) -> Result<AwsLogin> {
        let get = |key: &str| self.of(name, key);
        let bad = |found: &str, expected: &str| config(&format!("profile {name}"), found, expected);
        let session = get("role_session_name").unwrap_or_else(|| "s3dlio".into());
        if let Some(token_file) = get("web_identity_token_file") {
            return Ok(AwsLogin::WebIdentity { token_file, role: arn, session });
        }
        if get("mfa_serial").is_some() {
            return Err(bad("mfa_serial", "a login that nobody has to type a code for"));
        }
        let base = match (get("source_profile"), get("credential_source").as_deref()) {
            (Some(source), _) if source == name => self.keys_of(name)?,
            (Some(_), _) if deepest == 0 => return Err(bad("source_profile", "a chain of roles that ends")),
            (Some(source), _) => self
                .login_of(&source, deepest - 1)?
                .ok_or_else(|| bad(&format!("source_profile = {source}"), "a profile with credentials"))?,
            (None, Some("Environment")) => AwsLogin::Keys(self.files.keys.clone().ok_or_else(|| {
                bad("credential_source = Environment", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to be set")
            })?),
            (None, Some("Ec2InstanceMetadata")) => AwsLogin::Instance,
            (None, Some("EcsContainer")) => AwsLogin::Container(AwsContainer::from_env()?.ok_or_else(|| {
                bad("credential_source = EcsContainer", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI to be set")
            })?),
            (None, found) => {
                let expected =
                    "source_profile, or credential_source = Environment, Ec2InstanceMetadata or EcsContainer";
                return Err(bad(&format!("role_arn with credential_source {found:?}"), expected));
            }
        };
        let (external_id, seconds) = (get("external_id"), get("duration_seconds"));
        Ok(AwsLogin::Role(Arc::new(AwsRole { arn, session, external_id, seconds, base })))
    }

    /// The keys of a profile that assumes its role with keys of its own.
    fn keys_of(&self, name: &str) -> Result<AwsLogin> {
        match (self.of(name, "aws_access_key_id"), self.of(name, "aws_secret_access_key")) {
            (Some(id), Some(secret)) => {
                let token = self.of(name, "aws_session_token").map(Secret);
                Ok(AwsLogin::Keys(AwsKeys { id, secret: Secret(secret), token }))
            }
            _ => Err(config(&format!("profile {name}"), "itself as source_profile", "keys in the profile")),
        }
    }
}

/// A login that stands in a profile.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct AwsProfile {
    files: ProfileFiles,
    found: Arc<AwsLogin>,
}

impl AwsProfile {
    /// The name of the profile.
    pub(crate) fn name(&self) -> &str {
        &self.files.name
    }

    /// What the files say now, or said when the client was made.
    pub(crate) fn login_of_now(&self) -> Arc<AwsLogin> {
        let files = self.files.again();
        if files == self.files {
            return Arc::clone(&self.found);
        }
        let read = files.load().ok().flatten().and_then(|profile| profile.login_of(&files.name, DEEPEST).ok()?);
        read.map_or_else(|| Arc::clone(&self.found), Arc::new)
    }
}
