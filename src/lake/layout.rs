//! The object keys of a lake. No other module creates keys.

use chrono::NaiveDate;
use object_store::path::Path;
use uuid::Uuid;

/// The table that users query.
pub const TABLE: &str = "audit_events";
/// The table of the history of runs.
pub const RUNS_TABLE: &str = "audit_runs";
/// The folder of objects that aren't for queries.
const INTERNAL: &str = "_auditlake";
/// The prefix of the folders in [`RUNS_TABLE`].
const RUN_DATE: &str = "run_date=";

/// The keys of a lake, below its prefix.
#[derive(Debug, Clone)]
pub struct Layout {
    root: Path,
}

impl Layout {
    /// Creates the keys below `root`, the path of the lake's URL.
    pub fn new(root: Path) -> Self {
        Self { root }
    }

    /// `_auditlake/lake.json`
    pub fn lake_file(&self) -> Path {
        self.internal().join("lake.json")
    }

    /// `_auditlake/LAKE.JSON`: found only in a store that doesn't distinguish it from [`Layout::lake_file`].
    pub fn lake_file_in_capitals(&self) -> Path {
        self.internal().join("LAKE.JSON")
    }

    /// `audit_events`
    pub fn table(&self) -> Path {
        self.root.clone().join(TABLE)
    }

    /// `audit_events/provider=…/event_date=…`, from a partition path that is already escaped.
    ///
    /// # Errors
    /// If the partition path isn't one (which would be a bug in the table's escaping).
    pub fn partition(&self, partition: &str) -> Result<Path, object_store::path::Error> {
        Path::parse(format!("{}/{partition}", self.table()))
    }

    /// `audit_events/<partition>/<job>-<run>-<n>.parquet`: unique because of the run's id.
    ///
    /// # Errors
    /// As [`Layout::partition`].
    pub fn published(
        &self,
        partition: &str,
        job: &str,
        run: Uuid,
        n: u64,
    ) -> Result<Path, object_store::path::Error> {
        Ok(self
            .partition(partition)?
            .join(format!("{job}-{run}-{n}.parquet")))
    }

    /// `audit_runs`
    pub fn runs_table(&self) -> Path {
        self.root.clone().join(RUNS_TABLE)
    }

    /// `audit_runs/run_date=<date>/audit_runs.parquet`: the only file of that day, written once.
    pub fn runs_of(&self, date: NaiveDate) -> Path {
        (self.runs_table().join(format!("{RUN_DATE}{date}"))).join(format!("{RUNS_TABLE}.parquet"))
    }

    /// The day of a key that [`Layout::runs_of`] makes; `None` for any other.
    pub fn date_of_runs(&self, key: &Path) -> Option<NaiveDate> {
        let mut parts = key.prefix_match(&self.runs_table())?;
        let date = parts
            .next()?
            .as_ref()
            .strip_prefix(RUN_DATE)?
            .parse()
            .ok()?;
        (*key == self.runs_of(date)).then_some(date)
    }

    /// `_auditlake/jobs`
    pub fn jobs(&self) -> Path {
        self.internal().join("jobs")
    }

    /// `_auditlake/probe/<uuid>`: temporary objects of `check` and of every start.
    pub fn probe(&self, id: Uuid) -> Path {
        self.internal().join("probe").join(id.to_string())
    }

    /// `_auditlake/damaged/<job>`
    fn damaged(&self, job: &str) -> Path {
        self.internal().join("damaged").join(job)
    }

    /// The keys of one job.
    pub fn job(&self, job: &str) -> JobLayout {
        JobLayout {
            root: self.jobs().join(job),
            damaged: self.damaged(job),
            job: job.to_owned(),
        }
    }

    fn internal(&self) -> Path {
        self.root.clone().join(INTERNAL)
    }
}

/// Returns whether a file name in the table belongs to `job`, and not to a job whose name begins with that name.
pub fn is_of_job(file_name: &str, job: &str) -> bool {
    file_name
        .strip_suffix(".parquet")
        .and_then(|stem| stem.strip_prefix(job)?.strip_prefix('-'))
        .and_then(|tail| tail.rsplit_once('-'))
        .is_some_and(|(run, n)| Uuid::try_parse(run).is_ok() && n.parse::<u64>().is_ok())
}

/// Returns whether a name in the quarantine's folder is that of a quarantine file.
pub fn is_quarantined(name: &str) -> bool {
    name.strip_suffix(".jsonl")
        .and_then(|stem| stem.rsplit_once('-'))
        .is_some_and(|(run, n)| Uuid::try_parse(run).is_ok() && n.parse::<u64>().is_ok())
}

/// Returns whether a name in the folder of acknowledgements is that of an acknowledgement file.
pub fn is_acknowledgement(name: &str) -> bool {
    name.strip_suffix(".jsonl")
        .is_some_and(|id| Uuid::try_parse(id).is_ok())
}

/// Returns the part of a key after `folder/`.
pub fn name_in(folder: &Path, key: &Path) -> String {
    let Some(parts) = key.prefix_match(folder) else {
        return key.to_string();
    };
    let parts: Vec<_> = parts.map(|part| part.as_ref().to_owned()).collect();
    parts.join("/")
}

/// The keys of a job's log, staging and quarantine.
#[derive(Debug, Clone)]
pub struct JobLayout {
    root: Path,
    damaged: Path,
    job: String,
}

impl JobLayout {
    /// The job's name.
    pub fn name(&self) -> &str {
        &self.job
    }

    /// `_auditlake/jobs/<job>/commits`
    pub fn commits(&self) -> Path {
        self.root.clone().join("commits")
    }

    /// `_auditlake/jobs/<job>/commits/<version, 20 digits>.json`
    pub fn commit(&self, version: u64) -> Path {
        self.commits().join(format!("{version:020}.json"))
    }

    /// `_auditlake/jobs/<job>/latest.json`: a hint from where to list the log.
    pub fn latest(&self) -> Path {
        self.root.clone().join("latest.json")
    }

    /// `_auditlake/jobs/<job>/staging`
    pub fn staging(&self) -> Path {
        self.root.clone().join("staging")
    }

    /// `_auditlake/jobs/<job>/staging/<run>/<n>.staged`: a name that query engines don't recognise as Parquet.
    pub fn staged(&self, run: Uuid, n: u64) -> Path {
        self.staging()
            .join(run.to_string())
            .join(format!("{n}.staged"))
    }

    /// `_auditlake/jobs/<job>/quarantine`
    pub fn quarantine(&self) -> Path {
        self.root.clone().join("quarantine")
    }

    /// `_auditlake/jobs/<job>/quarantine/<run>-<n>.jsonl`
    pub fn quarantined(&self, run: Uuid, n: u64) -> Path {
        self.quarantine().join(format!("{run}-{n}.jsonl"))
    }

    /// `_auditlake/damaged/<job>`
    pub fn damaged_files(&self) -> Path {
        self.damaged.clone()
    }

    /// `_auditlake/damaged/<job>/<file>.damaged` for the remains of the file at `key`: a name that query engines don't
    /// recognise as Parquet.
    pub fn damaged(&self, key: &Path) -> Path {
        let name = key.filename().unwrap_or_default();
        self.damaged.clone().join(format!("{name}.damaged"))
    }

    /// `_auditlake/jobs/<job>/acknowledged`
    pub fn acknowledged(&self) -> Path {
        self.root.clone().join("acknowledged")
    }

    /// `_auditlake/jobs/<job>/acknowledged/<id>.jsonl`
    pub fn acknowledgement(&self, id: Uuid) -> Path {
        self.acknowledged().join(format!("{id}.jsonl"))
    }
}

/// Returns the version in the key of a commit in `folder`; `None` for any other object, including those in subfolders.
pub fn version_of(folder: &Path, key: &Path) -> Option<u64> {
    let mut parts = key.prefix_match(folder)?;
    let name = parts.next().filter(|_| parts.next().is_none())?;
    let digits = name.as_ref().strip_suffix(".json")?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const RUN: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001);

    #[test]
    fn keys_are_those_of_the_design() {
        let layout = Layout::new(Path::from("a/prefix"));
        let key = layout.published("provider=genesys_cloud/event_date=2026-11-20", "j", RUN, 3);
        assert_eq!(
            key.unwrap().as_ref(),
            "a/prefix/audit_events/provider=genesys_cloud/event_date=2026-11-20/j-01990000-0000-7000-8000-000000000001-3.parquet"
        );
        let job = layout.job("j");
        assert_eq!(
            job.commit(7).as_ref(),
            "a/prefix/_auditlake/jobs/j/commits/00000000000000000007.json"
        );
        assert_eq!(
            job.staged(RUN, 0).as_ref(),
            "a/prefix/_auditlake/jobs/j/staging/01990000-0000-7000-8000-000000000001/0.staged"
        );
        assert_eq!(
            version_of(&job.commits(), &job.commit(u64::MAX)),
            Some(u64::MAX)
        );
    }

    #[test]
    fn the_days_of_runs_are_told_from_foreign_objects() {
        let layout = Layout::new(Path::from("p"));
        let date = NaiveDate::from_ymd_opt(2026, 11, 20).unwrap();
        let key = layout.runs_of(date);
        assert_eq!(
            key.as_ref(),
            "p/audit_runs/run_date=2026-11-20/audit_runs.parquet"
        );
        assert_eq!(layout.date_of_runs(&key), Some(date));
        for name in [
            "run_date=2026-11-20/other.parquet",
            "run_date=2026-11-20/audit_runs.parquet/x",
            "run_date=2026-1-2/audit_runs.parquet",
            "run_date=x/audit_runs.parquet",
            "audit_runs.parquet",
        ] {
            let key = Path::from(format!("p/audit_runs/{name}"));
            assert_eq!(layout.date_of_runs(&key), None, "{name}");
        }
    }

    #[test]
    fn an_escaped_partition_value_is_not_escaped_again() {
        let key = Layout::new(Path::default())
            .partition("account_id=a%2Fb")
            .unwrap();
        assert_eq!(key.as_ref(), "audit_events/account_id=a%2Fb");
    }

    #[test]
    fn foreign_objects_are_no_commits_and_no_files_of_the_job() {
        for name in [
            "1.json",
            "0000000000000000000x.json",
            "00000000000000000001.json.tmp",
            "99999999999999999999.json",
            "backup/00000000000000000001.json",
        ] {
            assert_eq!(
                version_of(&Path::default(), &Path::from(name)),
                None,
                "{name}"
            );
        }
        let file = format!("genesys-{RUN}-0.parquet");
        assert!(is_of_job(&file, "genesys"));
        assert!(!is_of_job(
            &format!("genesys-eu-{RUN}-0.parquet"),
            "genesys"
        ));
        assert!(!is_of_job(&file, "gen"));
        assert!(!is_of_job("genesys.parquet", "genesys"));
    }

    #[test]
    fn quarantine_and_its_acknowledgements_are_told_from_foreign_objects() {
        let job = Layout::new(Path::from("p")).job("j");
        for (folder, key) in [
            (job.quarantine(), job.quarantined(RUN, 3)),
            (job.acknowledged(), job.acknowledgement(RUN)),
        ] {
            let name = name_in(&folder, &key);
            assert_eq!(folder.join(name.as_str()), key);
            assert_eq!(is_quarantined(&name), key == job.quarantined(RUN, 3));
            assert_eq!(is_acknowledgement(&name), key == job.acknowledgement(RUN));
        }
        for name in [
            "README.md",
            &format!("{RUN}-x.jsonl"),
            &format!("old/{RUN}-0.jsonl"),
            &format!("{RUN}-0.jsonl.bak"),
        ] {
            assert!(!is_quarantined(name) && !is_acknowledgement(name), "{name}");
        }
    }
}
