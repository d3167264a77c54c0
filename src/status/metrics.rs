//! Numbers for Prometheus, in its [text format](https://prometheus.io/docs/instrumenting/exposition_formats/), for the textfile collector
//! of its node exporter.
//!
//! All are gauges: of a mirror as it is, and of its last run. Times are seconds since the epoch, so that an age is `time() - …` and grows
//! also where nothing runs any more. What is not known has no sample. Each sample names the mirror root, for one machine may have several.

use prometheus::{Encoder, GaugeVec, Opts, Registry, TextEncoder};

use super::{Module, Overview, Run};

/// The metrics of a mirror.
///
/// # Errors
/// Never, as far as names and labels are those that are written here.
pub fn metrics(overview: &Overview) -> prometheus::Result<String> {
    let mut gauges = Gauges { registry: Registry::new(), root: &overview.root };
    gauges.of_mirror(overview)?;
    gauges.of_modules(&overview.modules)?;
    if let Some(run) = overview.last() {
        gauges.of_run(run)?;
    }
    gauges.of_jobs(overview)?;
    let mut text = Vec::new();
    TextEncoder::new().encode(&gauges.registry.gather(), &mut text)?;
    String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
}

struct Gauges<'o> {
    registry: Registry,
    root: &'o str,
}

impl Gauges<'_> {
    /// Adds a gauge with a sample for each value that is known, by the values of its labels.
    fn add<'v>(
        &mut self,
        name: &str,
        help: &str,
        labels: &[&str],
        samples: impl IntoIterator<Item = (Vec<&'v str>, Option<f64>)>,
    ) -> prometheus::Result<()> {
        let gauge = GaugeVec::new(Opts::new(name, help), &[&["root"], labels].concat())?;
        for (values, value) in samples {
            if let Some(value) = value {
                gauge.get_metric_with_label_values(&[&[self.root], values.as_slice()].concat())?.set(value);
            }
        }
        self.registry.register(Box::new(gauge))
    }

    fn one(&mut self, name: &str, help: &str, value: Option<f64>) -> prometheus::Result<()> {
        self.add(name, help, &[], [(Vec::new(), value)])
    }

    fn of_mirror(&mut self, overview: &Overview) -> prometheus::Result<()> {
        let in_step = overview.in_step.map(|time| time.timestamp() as f64);
        self.one(
            "qfm_in_step_timestamp_seconds",
            "When the last run ended that brought all modules in step.",
            in_step,
        )?;
        let unreadable = Some(overview.unreadable.len() as f64);
        self.one("qfm_state_unreadable_files", "Parts of the saved state that cannot be read.", unreadable)?;
        let unfinished = Some(f64::from(u8::from(overview.unfinished)));
        self.one("qfm_unfinished", "1 if the last run was cut off, failed or only transferred.", unfinished)
    }

    fn of_modules(&mut self, modules: &[Module]) -> prometheus::Result<()> {
        let time = |time: chrono::DateTime<chrono::Utc>| time.timestamp() as f64;
        let mut add = |name: &str, help: &str, value: &dyn Fn(&Module) -> Option<f64>| {
            self.add(name, help, &["module"], modules.iter().map(|of| (vec![of.module.as_str()], value(of))))
        };
        add(
            "qfm_module_in_step_timestamp_seconds",
            "When the last run ended that brought the module in step.",
            &|of| of.in_step.map(time),
        )?;
        add("qfm_module_list_timestamp_seconds", "When upstream made the list that was applied last.", &|of| {
            of.list.map(time)
        })?;
        add("qfm_module_checked_timestamp_seconds", "When the last check of all directories was complete.", &|of| {
            of.check.as_ref().map(|check| time(check.complete))
        })?;
        add("qfm_module_entries", "Entries that the list carries here.", &|of| {
            of.carried.map(|carried| carried.entries as f64)
        })?;
        add("qfm_module_bytes", "Bytes of the files that the list carries here.", &|of| {
            of.carried.map(|carried| carried.bytes as f64)
        })?;
        add("qfm_module_held_entries", "Entries whose deletion is held.", &|of| {
            Some(of.held.as_ref().map_or(0.0, |held| held.entries as f64))
        })?;
        add(
            "qfm_module_held_back_entries",
            "Entries that do not come because a directory is held in the way.",
            &|of| Some(of.held_back as f64),
        )?;
        add("qfm_module_undelivered_entries", "Entries that upstream lists and could not deliver.", &|of| {
            Some(of.undelivered as f64)
        })?;
        add("qfm_module_bad_rows", "Rows of the list that could not be read.", &|of| Some(of.bad_rows as f64))?;
        add("qfm_module_in_doubt", "1 if others touched files whose content nobody compared.", &|of| {
            Some(f64::from(u8::from(of.in_doubt)))
        })
    }

    fn of_run(&mut self, run: &Run) -> prometheus::Result<()> {
        let started = Some(run.started.timestamp() as f64);
        self.one("qfm_last_run_start_timestamp_seconds", "When the last run began.", started)?;
        self.one("qfm_last_run_duration_seconds", "How long it took.", Some(run.seconds))?;
        self.one("qfm_last_run_exit_code", "What it ended with.", Some(f64::from(run.code)))?;
        self.one("qfm_last_run_received_bytes", "Bytes that came over the wire.", Some(run.received_bytes as f64))?;
        self.one("qfm_last_run_rsync_calls", "Calls of rsync.", Some(run.rsync_calls as f64))?;
        let phases = run.seconds_by_phase.iter().map(|(phase, seconds)| (vec![phase.as_str()], Some(*seconds)));
        self.add("qfm_last_run_phase_seconds", "How long each phase of it took.", &["phase"], phases)?;
        let did = run.modules.iter().flat_map(|of| {
            let did = [
                ("added", of.added),
                ("fetched", of.fetched.entries),
                ("linked", of.linked),
                ("updated", of.updated),
                ("deleted", of.deleted),
            ];
            did.map(|(what, entries)| (vec![of.module.as_str(), what], Some(entries as f64)))
        });
        self.add(
            "qfm_last_run_entries",
            "What it did with so many entries, of modules that it compared; what is added may be fetched, linked or updated.",
            &["module", "did"],
            did,
        )?;
        let of_module = |of: fn(&super::OfModule) -> u64| {
            run.modules.iter().map(move |module| (vec![module.module.as_str()], Some(of(module) as f64)))
        };
        let fetched = of_module(|of| of.fetched.bytes);
        self.add("qfm_last_run_fetched_bytes", "Bytes of the files that it fetched.", &["module"], fetched)?;
        let linked = of_module(|of| of.linked_bytes);
        self.add("qfm_last_run_linked_bytes", "Bytes that hard links saved it.", &["module"], linked)
    }

    fn of_jobs(&mut self, overview: &Overview) -> prometheus::Result<()> {
        let waiting = overview.jobs.iter().map(|job| (vec![job.job.as_str()], Some(f64::from(u8::from(job.waiting)))));
        self.add("qfm_job_waiting", "1 if a run is asked for that did not begin, or was cut off.", &["job"], waiting)?;
        let code = |job: &super::Job| job.last.as_ref().and_then(|last| last.code).map(f64::from);
        let codes = overview.jobs.iter().map(|job| (vec![job.job.as_str()], code(job)));
        self.add("qfm_job_last_exit_code", "What the last run of the job ended with.", &["job"], codes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, held, overview};
    use super::*;

    #[test]
    fn what_is_known_is_a_sample_and_what_is_not_is_none() {
        let mut overview = overview();
        overview.root = "/srv/a \"b\"\n\\c".to_owned();
        overview.modules[0].held = Some(held(7));
        let text = metrics(&overview).unwrap();
        let root = r#"root="/srv/a \"b\"\n\\c""#;
        for line in [
            format!("qfm_module_held_entries{{module=\"fedora-enchilada\",{root}}} 7"),
            format!("qfm_module_held_entries{{module=\"fedora-epel\",{root}}} 0"),
            format!("qfm_module_in_step_timestamp_seconds{{module=\"fedora-epel\",{root}}} {}", NOW - 720),
            format!("qfm_last_run_exit_code{{{root}}} 0"),
        ] {
            assert!(text.lines().any(|said| said == line), "{line}\n{text}");
        }
        assert!(!text.contains("qfm_module_list_timestamp_seconds{module=\"fedora-epel\""), "it is not known: {text}");
        overview.runs.clear();
        assert!(!metrics(&overview).unwrap().contains("qfm_last_run"), "there was none");
    }
}
