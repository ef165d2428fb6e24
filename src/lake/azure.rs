//! Azure's connection strings, as its portal and its tools show them.

/// The setting for the emulator, whose account and key are public.
const EMULATOR: &str = "UseDevelopmentStorage";
/// The problem of a text that isn't a connection string.
pub(super) const FORM: &str = "is not a connection string; it reads `AccountName=…;AccountKey=…;EndpointSuffix=core.windows.net`";

/// Parses a connection string into settings by canonical key. The error is a predicate and contains nothing of the
/// text.
pub(super) fn from_connection_string(text: &str) -> Result<Vec<(&'static str, String)>, String> {
    if text.chars().any(char::is_control) || !text.is_ascii() {
        return Err(
            "holds a line break or another character that can't stand in a connection string"
                .to_owned(),
        );
    }
    let mut parts = Vec::new();
    for part in text
        .split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (key, value) = part.split_once('=').ok_or(FORM)?;
        parts.push((key.trim().to_ascii_lowercase(), value.trim()));
    }
    let part = |key: &str| {
        let found = parts.iter().find(|(known, _)| *known == key);
        found
            .map(|(_, value)| *value)
            .filter(|value| !value.is_empty())
    };
    if part(&EMULATOR.to_ascii_lowercase()).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    {
        return Ok(vec![("azure_storage_use_emulator", "true".to_owned())]);
    }
    let mut settings = Vec::new();
    let protocol = part("defaultendpointsprotocol").unwrap_or("https");
    let endpoint = match (part("blobendpoint"), part("accountname")) {
        (Some(endpoint), _) => Some(endpoint.trim_end_matches('/').to_owned()),
        (None, Some(account)) => {
            let suffix = part("endpointsuffix").unwrap_or("core.windows.net");
            Some(format!("{protocol}://{account}.blob.{suffix}"))
        }
        (None, None) => None,
    };
    let account = part("accountname").map(str::to_owned).or_else(|| {
        // with a shared access signature, the endpoint alone names the account
        let host = part("blobendpoint")?.split_once("://")?.1;
        host.split(['.', '/', ':']).next().map(str::to_owned)
    });
    let (Some(account), Some(endpoint)) = (account, endpoint) else {
        return Err("names no account; it needs `AccountName` or `BlobEndpoint`".to_owned());
    };
    if part("accountkey").is_none() && part("sharedaccesssignature").is_none() {
        return Err(
            "has no credentials; it needs `AccountKey` or `SharedAccessSignature`".to_owned(),
        );
    }
    if endpoint.starts_with("http://") {
        settings.push(("allow_http", "true".to_owned())); // the endpoint has no TLS
    }
    settings.push(("azure_storage_account_name", account));
    settings.push(("azure_storage_endpoint", endpoint));
    for (key, part) in [
        ("azure_storage_account_key", part("accountkey")),
        ("azure_storage_sas_key", part("sharedaccesssignature")),
    ] {
        if let Some(value) = part {
            settings.push((key, value.to_owned()));
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match from_connection_string(text) {
            Ok(settings) => settings
                .iter()
                .map(|(key, value)| format!("{}={value}", key.trim_start_matches("azure_storage_")))
                .collect::<Vec<_>>()
                .join(" "),
            Err(why) => why,
        }
    }

    #[test]
    fn a_connection_string_is_read_as_azures_tools_do() {
        assert_eq!(
            read(
                "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5MQ==;EndpointSuffix=core.chinacloudapi.cn"
            ),
            "account_name=acc endpoint=https://acc.blob.core.chinacloudapi.cn account_key=a2V5MQ=="
        );
        assert_eq!(
            read(
                "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;AccountName=devstoreaccount1;AccountKey=a2V5MQ==;"
            ),
            "allow_http=true account_name=devstoreaccount1 endpoint=http://127.0.0.1:10000/devstoreaccount1 account_key=a2V5MQ=="
        );
        assert_eq!(
            read(
                "BlobEndpoint=https://acc.blob.core.windows.net/;SharedAccessSignature=sv=2022-11-02&sig=a%2Bb%3D"
            ),
            "account_name=acc endpoint=https://acc.blob.core.windows.net sas_key=sv=2022-11-02&sig=a%2Bb%3D"
        );
        assert_eq!(read("UseDevelopmentStorage=true"), "use_emulator=true");
    }

    #[test]
    fn what_is_no_connection_string_says_what_it_lacks() {
        assert!(read("hello").starts_with("is not a connection string"));
        assert!(read("AccountName=a").contains("has no credentials"));
        assert!(read("AccountKey=a2V5MQ==").contains("names no account"));
        assert!(read("AccountName=a;AccountKey=a2V5MQ==\n").contains("line break"));
        assert!(from_connection_string("").is_err());
        assert!(read("AccountName=é;AccountKey=a2V5MQ==").contains("can't stand in"));
    }
}
