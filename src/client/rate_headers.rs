//! Rate limit headers: the provider's own count of requests.

use std::time::Duration;

use super::pause::HeaderContext;
use crate::providers::RateHeaderNames;

/// The rate limit in an answer's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RateLimitHeaders {
    /// The requests allowed per `window`; 0 if unknown.
    pub(super) allowed: u32,
    /// The length of the provider's window.
    pub(super) window: Duration,
    /// How long no request is left, if none is.
    pub(super) spent_for: Option<Duration>,
}

/// The maximum trusted window or reset in seconds, as nothing would ever correct a larger one. After a longer reset, a
/// request is sent after this time.
const LONGEST: u32 = 3600;

impl RateLimitHeaders {
    /// Parses a provider's `own` headers, those of the IETF drafts, and their predecessors (`X-RateLimit-...`).
    ///
    /// Without a count of remaining requests, none is left if the answer `refused` the request as one too many. An
    /// unreadable reset means the pause for unreadable values.
    pub(super) fn read(
        reading: &HeaderContext<'_>,
        own: Option<&RateHeaderNames>,
        refused: bool,
    ) -> Option<Self> {
        let own = own.and_then(|own| of_names(reading, own, refused));
        let ways = [of_fields, of_policies, of_others];
        let ways = ways.into_iter().filter_map(|way| way(reading, refused));
        let mut all = own.into_iter().chain(ways);
        let first = all.next()?;
        Some(all.fold(first, |message, next| Self {
            spent_for: message.spent_for.max(next.spent_for),
            ..if message.allowed > 0 { message } else { next }
        }))
    }

    /// Returns limits that only contain how long no request is left.
    fn spent(spent_for: Option<Duration>) -> Option<Self> {
        spent_for.map(|_| Self {
            allowed: 0,
            window: Duration::ZERO,
            spent_for,
        })
    }
}

/// The provider's own headers, as named by its adapter.
fn of_names(
    reading: &HeaderContext<'_>,
    own: &RateHeaderNames,
    refused: bool,
) -> Option<RateLimitHeaders> {
    let allowed = least(reading, own.allowed);
    let used = numbers(reading, own.used).reduce(f64::max);
    let spent_for = match (allowed, used) {
        (Some(_), None) if !refused => None,
        _ => {
            let left = allowed.zip(used).map(|(allowed, used)| allowed - used);
            spent_for(reading, left, own.reset, refused)
        }
    };
    match allowed {
        Some(allowed) => Some(RateLimitHeaders {
            allowed: whole(allowed),
            window: own.window,
            spent_for,
        }),
        None => RateLimitHeaders::spent(spent_for),
    }
}

/// Parses draft-ietf-httpapi-ratelimit-headers before 08, as documented by Avaya: `RateLimit-Remaining` requests are
/// left until `RateLimit-Reset` seconds from now, with quotas such as `100;w=60` in `RateLimit-Policy` or, in the
/// oldest drafts, in `RateLimit-Limit`. Of several quotas, the slowest applies in the long run. Also parses the quotas
/// of later drafts: `"default";q=100;w=60`.
fn of_fields(reading: &HeaderContext<'_>, refused: bool) -> Option<RateLimitHeaders> {
    let quota = ["ratelimit-policy", "ratelimit-limit"]
        .into_iter()
        .flat_map(|name| members(reading, name))
        .filter_map(|member| quota(&member))
        .max_by_key(|&(allowed, window)| window / allowed);
    let left = least(reading, "ratelimit-remaining");
    let spent_for = spent_for(reading, left, "ratelimit-reset", refused);
    match quota {
        Some((allowed, window)) => Some(RateLimitHeaders {
            allowed,
            window,
            spent_for,
        }),
        None => RateLimitHeaders::spent(spent_for),
    }
}

/// Parses the drafts' single field: `limit=100, remaining=0, reset=50` in 07, `"default";r=0;t=50` since 08, with a
/// member for each policy.
fn of_policies(reading: &HeaderContext<'_>, refused: bool) -> Option<RateLimitHeaders> {
    let all: Vec<String> = members(reading, "ratelimit").collect();
    let named = |name: &str| {
        all.iter().find_map(|member| {
            let (key, value) = member.split_once('=')?;
            (key.trim().eq_ignore_ascii_case(name)).then_some(value)
        })
    };
    let remaining = named("remaining").and_then(number);
    let whole_field = named("reset")
        .filter(|_| is_spent(remaining, refused))
        .map(|reset| reading.length_of(reset));
    let of_member = |member: &String| {
        let left = parameter(member, "r").and_then(number);
        let is_spent = left.is_some_and(|left| left < 1.0);
        let reset = parameter(member, "t").filter(|_| is_spent)?;
        Some(reading.length_of(reset))
    };
    let spent_for = all.iter().filter_map(of_member).chain(whole_field).max();
    RateLimitHeaders::spent(spent_for.map(bounded))
}

/// Parses the common headers: the number of remaining requests, and the seconds or the epoch of the reset.
fn of_others(reading: &HeaderContext<'_>, refused: bool) -> Option<RateLimitHeaders> {
    let spent = ["x-ratelimit", "x-rate-limit"]
        .into_iter()
        .filter_map(|way| {
            let left = least(reading, &format!("{way}-remaining"));
            let of = |reset: &str| spent_for(reading, left, &format!("{way}-{reset}"), refused);
            of("reset-after").or_else(|| of("reset"))
        });
    RateLimitHeaders::spent(spent.max())
}

/// Returns the time until the reset, if no request is left; `None` without a reset.
fn spent_for(
    reading: &HeaderContext<'_>,
    left: Option<f64>,
    reset: &str,
    refused: bool,
) -> Option<Duration> {
    let reset = is_spent(left, refused).then(|| reading.length(reset))?;
    reset.map(bounded)
}

/// Returns whether less than one request is left.
fn is_spent(left: Option<f64>, refused: bool) -> bool {
    left.map_or(refused, |left| left < 1.0)
}

fn bounded(reset: Duration) -> Duration {
    reset.min(Duration::from_secs(LONGEST.into()))
}

/// Returns all numbers in headers of this name.
fn numbers(reading: &HeaderContext<'_>, name: &str) -> impl Iterator<Item = f64> {
    let numbers: Vec<f64> = members(reading, name)
        .filter_map(|member| number(&member))
        .collect();
    numbers.into_iter()
}

fn least(reading: &HeaderContext<'_>, name: &str) -> Option<f64> {
    numbers(reading, name).reduce(f64::min)
}

fn number(text: &str) -> Option<f64> {
    let text = text.split(';').next()?;
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '"');
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Returns the integer part, saturated.
fn whole(number: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what is too much or too little becomes the most or nothing"
    )]
    let whole = number as u32;
    whole
}

/// Returns the list members in headers of this name; commas in quotes don't separate.
fn members(reading: &HeaderContext<'_>, name: &str) -> impl Iterator<Item = String> {
    let mut members = Vec::new();
    for value in reading.values(name) {
        let mut quoted = false;
        let mut member = String::new();
        for character in value.chars() {
            quoted ^= character == '"';
            if character == ',' && !quoted {
                members.push(std::mem::take(&mut member));
            } else {
                member.push(character);
            }
        }
        members.push(member);
    }
    members.into_iter()
}

/// Returns a parameter of a member: `60` of `100;w=60`.
fn parameter<'m>(member: &'m str, name: &str) -> Option<&'m str> {
    member.split(';').skip(1).find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        (key.trim().eq_ignore_ascii_case(name)).then_some(value.trim())
    })
}

/// Parses `100;w=60` or `"default";q=100;w=60`: requests per seconds, both nonzero.
fn quota(member: &str) -> Option<(u32, Duration)> {
    let of_requests =
        parameter(member, "qu").is_none_or(|unit| unit.trim_matches('"') == "requests");
    let allowed = parameter(member, "q").map_or_else(|| number(member), number);
    let seconds = parameter(member, "w").and_then(number)?.ceil();
    let allowed = whole(allowed.filter(|_| of_requests)?);
    let sane = allowed > 0 && (1.0..=f64::from(LONGEST)).contains(&seconds);
    sane.then(|| (allowed, Duration::from_secs(whole(seconds).into())))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::client::tests::OWN_HEADERS;

    /// Parses at 2026-11-20T00:00:00Z, with 77 s for unreadable values.
    fn read(pairs: &[(&str, &str)], refused: bool) -> Option<RateLimitHeaders> {
        let headers = pairs
            .iter()
            .map(|(name, value)| {
                let name: http::HeaderName = name.parse().unwrap();
                (name, value.parse().unwrap())
            })
            .collect();
        let now = DateTime::from_timestamp(1_795_132_800, 0).unwrap();
        RateLimitHeaders::read(
            &HeaderContext::new(&headers, now, Duration::from_secs(77)),
            Some(&OWN_HEADERS),
            refused,
        )
    }

    fn draft(pairs: &[(&str, &str)]) -> Option<RateLimitHeaders> {
        read(pairs, false)
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is compared with what is read")]
    fn message(allowed: u32, window: u64, spent_for: Option<u64>) -> Option<RateLimitHeaders> {
        Some(RateLimitHeaders {
            allowed,
            window: Duration::from_secs(window),
            spent_for: spent_for.map(Duration::from_secs),
        })
    }

    #[test]
    fn the_drafts_headers_are_read_where_they_make_sense() {
        let (limit, left, reset) = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset");
        let policy = ("ratelimit-policy", "100;w=60");
        let all = [(limit, "100"), (left, "7"), (reset, "50"), policy];
        assert_eq!(draft(&all), message(100, 60, None));
        let spent = [(limit, "100"), (left, "0"), (reset, "50"), policy];
        assert_eq!(draft(&spent), message(100, 60, Some(50)));
        assert_eq!(draft(&[(left, "0"), (reset, "3")]), message(0, 0, Some(3)));
        assert_eq!(
            draft(&[(left, "0"), (reset, "3601"), policy]),
            message(100, 60, Some(3_600))
        );
        let several = [(
            "ratelimit-policy",
            "10;w=1, 50; comment=\"burst, slow\"; w=60, 9000;w=3600",
        )];
        assert_eq!(draft(&several), message(50, 60, None));
        assert_eq!(
            draft(&[(limit, "10, 10;w=1, 20;w=60")]),
            message(20, 60, None)
        );
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
    }

    #[test]
    fn the_newest_drafts_fields_are_read() {
        let policy = (
            "ratelimit-policy",
            "\"burst\";q=100;w=60,\"daily\";q=1000;w=86400",
        );
        assert_eq!(draft(&[policy]), message(100, 60, None));
        let bytes = (
            "ratelimit-policy",
            "\"x\";q=65535;qu=\"content-bytes\";w=10",
        );
        assert_eq!(draft(&[bytes]), None);
        assert_eq!(
            draft(&[policy, ("ratelimit", "\"burst\";r=50;t=30")]),
            message(100, 60, None)
        );
        let spent = ("ratelimit", "\"a,b\";r=3;t=900, \"burst\";r=0;t=30");
        assert_eq!(draft(&[policy, spent]), message(100, 60, Some(30)));
        assert_eq!(
            draft(&[("ratelimit", "\"burst\";r=0;t=?1")]),
            message(0, 0, Some(77))
        );
        let seventh = ("ratelimit", "limit=100, remaining=0, reset=12.5");
        assert_eq!(draft(&[seventh]), message(0, 0, Some(13)));
        assert_eq!(
            draft(&[("ratelimit", "limit=100, remaining=1, reset=12")]),
            None
        );
    }

    #[test]
    fn a_reset_is_read_in_every_form_and_an_unreadable_one_is_a_wait() {
        let ways = [
            ("ratelimit-remaining", "ratelimit-reset"),
            ("x-ratelimit-remaining", "x-ratelimit-reset"),
            ("x-rate-limit-remaining", "x-rate-limit-reset"),
            ("x-ratelimit-remaining", "x-ratelimit-reset-after"),
        ];
        for (left, reset) in ways {
            for (value, seconds) in [
                ("50", 50),
                ("50.2", 51),
                ("50, 53", 53),
                ("50s", 50),
                ("1795132850", 50),
                ("1795132850000", 50),
                ("Fri, 20 Nov 2026 00:00:50 GMT", 50),
                ("2026-11-20T00:00:50Z", 50),
                ("soon", 77),
                ("", 77),
                ("-3", 77),
                ("99999999", 3_600),
            ] {
                assert_eq!(
                    draft(&[(left, "0"), (reset, value)]),
                    message(0, 0, Some(seconds)),
                    "{reset}: {value}"
                );
                assert_eq!(draft(&[(left, "1"), (reset, value)]), None);
            }
            for nothing in ["0.5", "-1", "0, 7", "\"0\""] {
                assert_eq!(
                    draft(&[(left, nothing), (reset, "9")]),
                    message(0, 0, Some(9)),
                    "{nothing}"
                );
            }
            // the number of remaining requests is unknown: none if the answer refused one too many
            assert_eq!(draft(&[(left, "?"), (reset, "9")]), None);
            assert_eq!(
                read(&[(left, "?"), (reset, "9")], true),
                message(0, 0, Some(9))
            );
            assert_eq!(read(&[(reset, "9")], true), message(0, 0, Some(9)));
            assert_eq!(read(&[(left, "5"), (reset, "9")], true), None);
            assert_eq!(draft(&[(left, "0")]), None, "no reset is given");
        }
    }

    #[test]
    fn a_providers_own_headers_are_read_in_every_form() {
        let (allowed, count, reset) = (OWN_HEADERS.allowed, OWN_HEADERS.used, OWN_HEADERS.reset);
        assert_eq!(
            draft(&[(allowed, "300"), (count, "300"), (reset, "27.5")]),
            message(300, 60, Some(28))
        );
        assert_eq!(
            draft(&[(allowed, "300"), (count, "299"), (reset, "27")]),
            message(300, 60, None)
        );
        assert_eq!(
            draft(&[(allowed, "300, 200"), (count, "1, 250"), (reset, "5, 6")]),
            message(200, 60, Some(6))
        );
        assert_eq!(
            draft(&[(allowed, "300"), (count, "300"), (reset, "soon")]),
            message(300, 60, Some(77))
        );
        assert_eq!(
            draft(&[(allowed, "300"), (reset, "27")]),
            message(300, 60, None)
        );
        assert_eq!(
            read(&[(allowed, "300"), (reset, "27")], true),
            message(300, 60, Some(27))
        );
        assert_eq!(read(&[(reset, "27")], true), message(0, 0, Some(27)));
        assert_eq!(
            draft(&[(allowed, "99999999999999999999")]),
            message(u32::MAX, 60, None)
        );
        // the longest of two families' pauses
        let both = [
            (allowed, "3"),
            (count, "3"),
            (reset, "5"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "9"),
        ];
        assert_eq!(draft(&both), message(3, 60, Some(9)));
    }
}
