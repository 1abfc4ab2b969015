//! Label selectors, checked by the rules of Kubernetes before a request is sent.

/// The longest name or value of a label, and the longest prefix of a name.
const MAX_NAME: usize = 63;
const MAX_PREFIX: usize = 253;

/// Parses a label selector, for example `team=shop,env in (test, prod)`. Returns the text as it is.
pub(super) fn selector(text: &str) -> Result<String, String> {
    if requirements(text).iter().all(|requirement| is_requirement(requirement)) {
        return Ok(text.to_owned());
    }
    Err("write it like team=shop, team!=shop, team, '!team' or 'team in (shop, bank)', several separated by commas"
        .into())
}

/// The parts between the commas that are not in parentheses.
fn requirements(text: &str) -> Vec<&str> {
    let mut inside = false;
    text.split(|c| {
        inside = if inside { c != ')' } else { c == '(' };
        c == ',' && !inside
    })
    .collect()
}

fn is_requirement(text: &str) -> bool {
    let text = text.trim();
    if let Some(key) = text.strip_prefix('!') {
        return is_key(key.trim());
    }
    // Longest first, because each one begins with the next.
    for operator in ["==", "!=", "="] {
        if let Some((key, value)) = text.split_once(operator) {
            return is_key(key.trim()) && is_value(value.trim());
        }
    }
    if let Some((key, value)) = text.split_once(['<', '>']) {
        let value = value.trim();
        return is_key(key.trim()) && is_value(value) && value.parse::<i64>().is_ok();
    }
    match text.split_once('(') {
        Some((start, values)) => values.strip_suffix(')').is_some_and(|values| {
            let mut words = start.split_whitespace();
            words.next().is_some_and(is_key)
                && words.next().is_some_and(|word| matches!(word, "in" | "notin"))
                && words.next().is_none()
                && values.split(',').all(|value| is_value(value.trim()))
        }),
        None => is_key(text),
    }
}

/// Whether it is a name of a label, with or without a prefix.
fn is_key(text: &str) -> bool {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    !name.is_empty() && is_value(name) && prefix.is_none_or(is_domain)
}

/// Whether it is a value of a label, which may be empty.
fn is_value(text: &str) -> bool {
    let ends = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= MAX_NAME
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && ends(text.chars().next())
        && ends(text.chars().next_back())
}

fn is_domain(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_part = |part: &str| {
        part.chars().all(|c| is_letter(c) || c == '-')
            && part.starts_with(is_letter)
            && part.ends_with(is_letter)
    };
    text.len() <= MAX_PREFIX && text.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_api_server_accepts_is_a_selector() {
        for text in [
            "team=shop",
            "team==shop",
            "team != shop , tier=1",
            "team",
            "!team",
            "! team",
            "team=",
            "team=,tier",
            "example.org/team=shop",
            "a>1",
            "a < 10",
            "env in (test, prod),team",
            "env notin (test)",
            "env in()",
            "env in (,a)",
            "in in (in)",
            "A_b.c-d=X.y_Z",
            &format!("{}={}", "a".repeat(63), "b".repeat(63)),
        ] {
            assert_eq!(selector(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_an_api_server_refuses_is_none() {
        for text in [
            "",
            " ",
            ",a",
            "a,",
            "a=b=c",
            "a===b",
            "!a=b",
            "!",
            "=a",
            "a b",
            "a in",
            "a in b",
            "a in (b",
            "a in (b))",
            "a in (b)c",
            "a in (b c)",
            "a in in (b)",
            "a on (b)",
            "(b)",
            "a=-b",
            "a=b.",
            "a>b",
            "a>",
            "a<-1",
            "-a",
            "/a",
            "a/",
            "a/b/c",
            "A/b",
            "a..b/c",
            "a=é",
            &format!("a={}", "b".repeat(64)),
        ] {
            assert!(selector(text).is_err(), "{text}");
        }
    }
}
