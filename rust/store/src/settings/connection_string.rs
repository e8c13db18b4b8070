//! Connection strings of Azure: `Name=value;Name=value`.

use super::{Secret, config};
use crate::error::Result;

const NAME: &str = "AZURE_STORAGE_CONNECTION_STRING";

/// Names that are about other services than blobs.
const ELSEWHERE: [&str; 4] = ["queueendpoint", "tableendpoint", "fileendpoint", "dfsendpoint"];

/// What a connection string says about blobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ConnectionString {
    pub(super) account: Option<String>,
    pub(super) key: Option<Secret>,
    pub(super) signature: Option<Secret>,
    pub(super) blobs: Option<String>,
    protocol: Option<String>,
    suffix: Option<String>,
    pub(super) development: bool,
}

impl ConnectionString {
    /// Reads the text; names are compared without regard to case, as the tools of Azure do.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut parsed = Self::default();
        for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
            // The text holds the account's key, so a message quotes no more than a name.
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| config(NAME, "***", "pairs of Name=value, separated by semicolons"))?;
            let (lower, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
            match lower.as_str() {
                "accountname" => parsed.account = Some(value),
                "accountkey" => parsed.key = Some(Secret(value)),
                "sharedaccesssignature" => parsed.signature = Some(Secret(value)),
                "blobendpoint" => parsed.blobs = Some(value),
                "defaultendpointsprotocol" => parsed.protocol = Some(value),
                "endpointsuffix" => parsed.suffix = Some(value),
                "usedevelopmentstorage" => parsed.development = value.eq_ignore_ascii_case("true"),
                other if ELSEWHERE.contains(&other) || other.ends_with("secondaryendpoint") => {}
                _ => {
                    let known = "AccountName, AccountKey, SharedAccessSignature, BlobEndpoint, \
                                 DefaultEndpointsProtocol, EndpointSuffix or UseDevelopmentStorage";
                    return Err(config(NAME, name, known));
                }
            }
        }
        Ok(parsed)
    }

    /// The account: by name, else the first label of the endpoint's host, else the last segment of its path.
    pub(super) fn account(&self) -> Option<String> {
        let named = self.account.clone().or_else(|| account_of_endpoint(self.blobs.as_deref()?));
        named.or_else(|| self.development.then(|| super::azure::EMULATOR_ACCOUNT.to_owned()))
    }

    /// The endpoint that the parts make, where any of them is given.
    pub(super) fn endpoint(&self, account: &str) -> Option<String> {
        self.blobs.clone().or_else(|| {
            let given = self.suffix.is_some() || self.protocol.is_some();
            given.then(|| {
                let protocol = self.protocol.as_deref().unwrap_or("https");
                format!("{protocol}://{account}.blob.{}", self.suffix.as_deref().unwrap_or("core.windows.net"))
            })
        })
    }
}

fn account_of_endpoint(endpoint: &str) -> Option<String> {
    let url = url::Url::parse(endpoint).ok()?;
    let in_path = url.path_segments()?.next().filter(|segment| !segment.is_empty()).map(str::to_owned);
    in_path.or_else(|| match url.host()? {
        url::Host::Domain(host) => host.split_once('.').map(|(label, _)| label.to_owned()),
        url::Host::Ipv4(_) | url::Host::Ipv6(_) => None,
    })
}
