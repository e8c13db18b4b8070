//! Buckets and containers themselves: made and removed, for which the clients have no verbs.

use http::{Method, StatusCode};
use object_store::client::HttpResponse;

use crate::Uri;
use crate::credentials::Connection;
use crate::error::{Result, StoreError};
use crate::settings::{self, Settings};
use crate::work::Work;

/// Makes the bucket or container of `uri`.
///
/// An S3 bucket is made in the region of the settings; a bucket of Google Cloud Storage in the project that
/// `GOOGLE_CLOUD_PROJECT` names, at the place that is the project's default.
///
/// # Errors
/// At once: a URI with a key, settings that cannot work, [`StoreError::Unsupported`] for schemes without a network.
/// From the work: [`StoreError::AlreadyExists`], and what else [`StoreError`] lists.
pub fn create(uri: &Uri) -> Result<Work<()>> {
    let settings = settings_of(uri)?;
    let (mut headers, mut body) = (Vec::new(), String::new());
    match &settings {
        // The first region is the one that must not be named.
        Settings::S3(s3) if s3.region() != "us-east-1" => {
            body = format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <LocationConstraint>{}</LocationConstraint></CreateBucketConfiguration>",
                quick_xml::escape::escape(s3.region())
            );
        }
        Settings::Gcs(_) => {
            let project = settings::first_of(&["GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT"]);
            headers.extend(project.map(|(_, project)| ("x-goog-project-id", project)));
        }
        Settings::S3(_) | Settings::Azure(_) => {}
    }
    request(uri, &settings, Method::PUT, headers, body)
}

/// Removes the bucket or container of `uri`, which must be empty. Azure would remove what is in it as well, so a
/// container is listed first; what another program writes in that moment is lost with it.
///
/// # Errors
/// At once: as [`create`]. From the work: [`StoreError::NotFound`], [`StoreError::Precondition`] for a bucket that
/// is not empty, and what else [`StoreError`] lists.
pub fn delete(uri: &Uri) -> Result<Work<()>> {
    request(uri, &settings_of(uri)?, Method::DELETE, Vec::new(), String::new())
}

fn settings_of(uri: &Uri) -> Result<Settings> {
    if !uri.key.is_empty() {
        return Err(StoreError::InvalidUri { uri: uri.to_string(), reason: "names an object, not a bucket".into() });
    }
    Settings::resolve(uri)
}

fn request(
    uri: &Uri,
    settings: &Settings,
    method: Method,
    headers: Vec<(&'static str, String)>,
    body: String,
) -> Result<Work<()>> {
    let azure = matches!(settings, Settings::Azure(_));
    let query = if azure { "?restype=container" } else { "" };
    let (connection, uri) = (settings.connect()?, uri.clone());
    Ok(Work::network(async move {
        if azure && method == Method::DELETE {
            empty(&*connection, &uri).await?;
        }
        let failed = |source| StoreError::object(uri.to_string(), source);
        let answer = connection.send(method, query, &headers, body).await.map_err(failed)?;
        text(&uri, answer).await.map(|_| ())
    }))
}

/// Refuses a container with anything in it.
async fn empty(connection: &dyn Connection, uri: &Uri) -> Result<()> {
    let query = "?restype=container&comp=list&maxresults=1";
    let answer = connection.send(Method::GET, query, &[], String::new()).await;
    let listed = text(uri, answer.map_err(|source| StoreError::object(uri.to_string(), source))?).await?;
    if listed.contains("<Blob>") {
        return Err(StoreError::Precondition { uri: uri.to_string(), detail: "not empty".into() });
    }
    Ok(())
}

/// The text of a good answer.
async fn text(uri: &Uri, answer: HttpResponse) -> Result<String> {
    let status = answer.status();
    let body = answer.into_body().bytes().await.unwrap_or_default();
    let body = String::from_utf8_lossy(&body);
    if status.is_success() { Ok(body.into_owned()) } else { Err(refused(uri, status, &body)) }
}

/// The error that a refusal means. Stores answer 409 to both what exists and what is in use.
fn refused(uri: &Uri, status: StatusCode, body: &str) -> StoreError {
    // The texts of all clouds begin with a code; the rest names the server's internals.
    let said: String = body.chars().take(500).collect();
    let (uri, detail) = (uri.to_string(), format!("status {status}: {said}"));
    match status {
        StatusCode::NOT_FOUND => StoreError::NotFound { uri, detail },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => StoreError::PermissionDenied { uri, detail },
        StatusCode::CONFLICT if body.contains("NotEmpty") => {
            StoreError::Precondition { uri, detail: format!("not empty: {detail}") }
        }
        StatusCode::CONFLICT if body.contains("Already") => StoreError::AlreadyExists { uri, detail },
        _ => StoreError::Store { uri, detail },
    }
}
