//! Where safety backups of engines in a cluster lie: in a repository of their own, which no schedule's retention reaches and
//! no restore takes a newest point from.

use crate::engines::restic::site::Site;
use crate::engines::restic::worker::Location;

/// Its place: in the ledger's folder beside the repository, which is the provider's own.
const BESIDE: &str = ".dr/safety";

/// The repository of safety backups beside another.
pub fn repository(site: &Site) -> Site {
    let location = match &site.location {
        Location::S3 { connection, bucket, prefix } => {
            let prefix = format!("{prefix}{BESIDE}");
            Location::S3 { connection: connection.clone(), bucket: bucket.clone(), prefix }
        }
        local => local.clone(),
    };
    Site { location, ..site.clone() }
}

/// The same, where an engine names the place of the other by a text that ends with the prefix.
pub fn beside(place: &str, location: &Location) -> String {
    let place = place.trim_end_matches('/');
    match location {
        Location::S3 { prefix, .. } if prefix.is_empty() => format!("{place}/{BESIDE}"),
        _ => format!("{place}{BESIDE}"),
    }
}

/// Whether a place is one of these.
pub fn is_beside(place: &str) -> bool {
    place.trim_end_matches('/').ends_with(BESIDE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connections::s3::S3Connection;

    #[test]
    fn safety_backups_lie_in_the_ledgers_folder() {
        let at = |prefix: &str| Location::S3 {
            connection: S3Connection::default(),
            bucket: "b".to_owned(),
            prefix: prefix.to_owned(),
        };
        assert_eq!(beside("s3:http://s/b/docs/", &at("docs")), "s3:http://s/b/docs.dr/safety");
        assert_eq!(beside("s3:http://s/b", &at("")), "s3:http://s/b/.dr/safety");
        assert!(is_beside("b/docs.dr/safety") && is_beside("b/.dr/safety") && !is_beside("b/docs"));
    }
}
