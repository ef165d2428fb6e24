//! What a provider's headers say about its own count of requests.

use std::time::Duration;

use http::HeaderMap;

/// What an answer's headers say about the provider's own count; the only place that knows such headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Said {
    /// Requests allowed per `window`; 0 if that isn't said.
    pub(super) allowed: u32,
    /// How long the provider's window is.
    pub(super) window: Duration,
    /// For how long nothing is left, if nothing is.
    pub(super) spent_for: Option<Duration>,
}

impl Said {
    /// By a provider's own headers, else by those of the IETF's drafts.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        Self::of_genesys(headers).or_else(|| Self::of_draft(headers))
    }

    /// Genesys: `inin-ratelimit-count` of `-allowed` requests of a minute are used, and the count resets in `-reset`
    /// seconds.
    fn of_genesys(headers: &HeaderMap) -> Option<Self> {
        let allowed = number(headers, "inin-ratelimit-allowed")?;
        let reset = number(headers, "inin-ratelimit-reset").filter(|&seconds| seconds <= LONGEST);
        let count = number(headers, "inin-ratelimit-count").unwrap_or(0);
        Some(Self {
            allowed,
            window: Duration::from_mins(1),
            spent_for: reset
                .filter(|_| count >= allowed)
                .map(|seconds| Duration::from_secs(seconds.into())),
        })
    }

    /// draft-ietf-httpapi-ratelimit-headers before 08, as Avaya announces it: `RateLimit-Remaining` requests are left
    /// until `RateLimit-Reset` seconds from now, under quotas like `100;w=60` in `RateLimit-Policy` or, in the oldest
    /// drafts, in `RateLimit-Limit`. Of several quotas the slowest holds in the long run.
    fn of_draft(headers: &HeaderMap) -> Option<Self> {
        let quota = ["ratelimit-policy", "ratelimit-limit"]
            .into_iter()
            .flat_map(|name| headers.get_all(name))
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(quota)
            .max_by_key(|&(allowed, window)| window / allowed);
        let spent = number(headers, "ratelimit-remaining") == Some(0);
        let reset = number(headers, "ratelimit-reset")
            .filter(|&seconds| spent && seconds <= LONGEST)
            .map(|seconds| Duration::from_secs(seconds.into()));
        if quota.is_none() && reset.is_none() {
            return None;
        }
        let (allowed, window) = quota.unwrap_or_default();
        Some(Self {
            allowed,
            window,
            spent_for: reset,
        })
    }
}

/// A window or a reset of more seconds isn't believed: nothing would ever correct it.
const LONGEST: u32 = 3600;

fn number(headers: &HeaderMap, name: &str) -> Option<u32> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// `100;w=60`: so many requests in so many seconds, neither of them 0.
fn quota(text: &str) -> Option<(u32, Duration)> {
    let mut parts = text.split(';').map(str::trim);
    let allowed: u32 = parts.next()?.parse().ok()?;
    let seconds: u32 = parts
        .find_map(|part| part.strip_prefix("w="))?
        .trim()
        .parse()
        .ok()?;
    let sane = allowed > 0 && (1..=LONGEST).contains(&seconds);
    sane.then(|| (allowed, Duration::from_secs(seconds.into())))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn draft(pairs: &[(&'static str, &'static str)]) -> Option<Said> {
        let headers = pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        Said::read(&headers)
    }

    #[test]
    fn the_drafts_headers_are_read_where_they_make_sense() {
        let said = |allowed, window, spent_for: Option<u64>| {
            Some(Said {
                allowed,
                window: Duration::from_secs(window),
                spent_for: spent_for.map(Duration::from_secs),
            })
        };
        let (limit, left, reset) = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset");
        let policy = ("ratelimit-policy", "100;w=60");
        let all = [(limit, "100"), (left, "7"), (reset, "50"), policy];
        assert_eq!(draft(&all), said(100, 60, None));
        let spent = [(limit, "100"), (left, "0"), (reset, "50"), policy];
        assert_eq!(draft(&spent), said(100, 60, Some(50)));
        assert_eq!(draft(&[(left, "0"), (reset, "3")]), said(0, 0, Some(3)));
        assert_eq!(
            draft(&[(left, "0"), (reset, "3601"), policy]),
            said(100, 60, None)
        );
        let several = [(
            "ratelimit-policy",
            "10;w=1, 50; comment=\"burst\"; w=60, 9000;w=3600",
        )];
        assert_eq!(draft(&several), said(50, 60, None));
        assert_eq!(draft(&[(limit, "10, 10;w=1, 20;w=60")]), said(20, 60, None));
        for nonsense in [
            "",
            "100",
            "0;w=60",
            "100;w=0",
            "100;w=86400",
            "-1;w=60",
            "a;w=b",
            ";",
        ] {
            assert_eq!(draft(&[("ratelimit-policy", nonsense)]), None, "{nonsense}");
        }
        assert_eq!(draft(&[(limit, "100"), (left, "0"), (reset, "soon")]), None);
    }
}
