//! What is known: the divergences that `suites/divergences/` lists, each with its reason. They are counted apart.

use serde::Deserialize;

use super::signature::Signature;

/// The divergences of one driver from its model that are known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownDivergences {
    /// The divergences.
    #[serde(default)]
    pub divergence: Vec<KnownDivergence>,
}

/// A divergence that is known.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownDivergence {
    /// Its signature, as campaigns show it.
    pub signature: String,
    /// Why the driver does that, or why nothing better is known.
    pub reason: String,
    /// Where that can be looked up: a clause, a case, a commit, a place in a source.
    pub source: String,
}

/// That a list cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("suites/divergences/{list}.toml: {reason}")]
pub struct UnreadableDivergences {
    list: String,
    reason: String,
}

impl KnownDivergences {
    /// Those of the drivers that are like this profile's: the list of this name.
    pub fn of_profile(profile: &str) -> Result<KnownDivergences, UnreadableDivergences> {
        let file = binderdrill_suites::divergences().into_iter().find(|file| file.driver == profile);
        file.map_or_else(|| Ok(KnownDivergences::default()), |file| parse(file.driver, file.list))
    }

    /// Why there is a divergence like this one, if that is known.
    pub fn reason(&self, signature: &Signature) -> Option<&str> {
        let known = self.divergence.iter().find(|known| known.signature == signature.as_str());
        known.map(|known| known.reason.as_str())
    }
}

/// Reads a list.
pub fn parse(list: &str, text: &str) -> Result<KnownDivergences, UnreadableDivergences> {
    toml::from_str(text)
        .map_err(|error| UnreadableDivergences { list: list.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use reference_driver::Profile;

    use super::*;

    #[test]
    fn what_is_built_in_can_be_read() {
        for profile in Profile::ALL {
            let known = KnownDivergences::of_profile(profile.name).unwrap();
            assert!(
                known.divergence.iter().all(|known| !known.reason.is_empty() && !known.source.is_empty())
            );
        }
        let named = |file: &binderdrill_suites::ExpectationsFile| {
            Profile::ALL.iter().any(|profile| profile.name == file.driver)
        };
        assert!(binderdrill_suites::divergences().iter().all(named), "a list is of no profile");
    }

    #[test]
    fn what_is_listed_is_known_by_its_signature() {
        let text =
            "[[divergence]]\nsignature = \"the model: N is odd\"\nreason = \"odd\"\nsource = \"here\"\n";
        let known = parse("c", text).unwrap();
        assert_eq!(known.reason(&Signature::of_failure("the model", "3 is odd")), Some("odd"));
        assert_eq!(known.reason(&Signature::of_failure("the model", "3 is even")), None);
        assert!(parse("c", "[[divergence]]\n").unwrap_err().to_string().contains("c.toml"));
    }
}
