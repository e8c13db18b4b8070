//! Names of objects that are written in bulk.

/// The name of object `number` of `total`.
///
/// In `template` the first `{}` stands for the number and the second for the total; without one it is `object-{}`. The
/// name takes the place of the first `{}` in `prefix`, where only the bare number is put in when there is no template;
/// a prefix without `{}` is a directory.
#[must_use]
pub fn expand(prefix: &str, template: Option<&str>, number: u64, total: u64) -> String {
    let (number, total) = (number.to_string(), total.to_string());
    let name = |template: &str| template.replacen("{}", &number, 1).replacen("{}", &total, 1);
    match (prefix.contains("{}"), template) {
        (true, None) => prefix.replacen("{}", &number, 1),
        (true, Some(template)) => prefix.replacen("{}", &name(template), 1),
        (false, template) => {
            let slash = if prefix.ends_with('/') { "" } else { "/" };
            format!("{prefix}{slash}{}", name(template.unwrap_or("object-{}")))
        }
    }
}
