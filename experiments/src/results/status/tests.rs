use std::collections::BTreeMap;
use std::fs;

use super::*;
use crate::files::sink::{self, Stamp};
use crate::testing::Scratch;

const NOW: u64 = 1_000_000;

/// An output folder of the experiment `t`: tables `a` and `b` over the steps 0 to 9 of `nano`.
struct Out(Scratch);

impl Out {
    fn new(name: &str) -> Self {
        let out = Self(Scratch::new(name));
        let steps: Vec<String> = (0..10).map(|step| step.to_string()).collect();
        let manifest = format!(
            r#"{{"name":"t","models":[{{"model":"nano","steps":[{}]}}],
                "on_bad":"skip","probes":[{{"name":"a","tables":["a","b"]}}]}}"#,
            steps.join(",")
        );
        fs::create_dir_all(out.0.0.join("results")).expect("create");
        out.write("state/t.json", manifest.as_bytes());
        out
    }

    fn write(&self, file: &str, bytes: &[u8]) {
        let path = self.0.0.join(file);
        fs::create_dir_all(path.parent().expect("inside")).expect("create");
        fs::write(path, bytes).expect("write");
    }

    fn part(&self, table: &str, step: u32) {
        self.write(&format!("results/{table}/nano/step{step:06}.parquet"), b"");
    }

    fn journal(&self, host: &str, pid: u32, events: &[(u64, &str)]) {
        let line = |(ago, event): &(u64, &str)| {
            format!("{{\"time\":{},\"host\":\"{host}\",\"pid\":{pid},\"event\":{event}}}\n", NOW - ago)
        };
        self.write("state/journal.jsonl", events.iter().map(line).collect::<String>().as_bytes());
    }

    fn status(&self) -> ExperimentStatus {
        Status::of(&self.0.0, NOW).expect("can be read").experiments.remove(0)
    }
}

#[test]
fn cells_are_done_when_all_their_tables_are_there() {
    let out = Out::new("status-cells");
    for step in 0..4 {
        out.part("a", step);
    }
    for step in 0..3 {
        out.part("b", step);
    }
    let stamp = |status: &str| Stamp {
        model: "nano".into(),
        step: Some(7),
        tokens_seen: None,
        checkpoint_status: status.into(),
    };
    for (step, status) in [(5, "ok"), (6, "duplicate_of:5"), (7, "known_bad")] {
        let bytes = sink::encode(&stamp(status), 1, Vec::new(), &BTreeMap::new()).expect("a row");
        out.write(&format!("results/checkpoints/nano/step{step:06}.parquet"), &bytes);
    }
    let start = (900, r#"{"started":{"name":"t","experiment":"h"}}"#);
    let failed = (800, r#"{"failed":{"cell":"nano step8","error":"first\nsecond \u001b[31m \u202e"}}"#);
    let repaired = (800, r#"{"failed":{"cell":"nano step0","error":"is done by now"}}"#);
    let left_out = (700, r#"{"left_out":{"cell":"nano step9","reason":"bad"}}"#);
    out.journal("elsewhere", 5, &[start, failed, repaired, left_out, (700, r#"{"done":{"cell":"nano step2"}}"#)]);
    let status = out.status();
    assert_eq!(status.cells, CellCounts { total: 10, done: 3, other_version: 0, failed: 1, left_out: 3 });
    assert_eq!((status.cells.left(), status.processes.len()), (3, 0));
    // Where bad checkpoints run, those without tables are still to do.
    let manifest = fs::read_to_string(out.0.0.join("state/t.json")).expect("read");
    out.write("state/t.json", manifest.replace("skip", "mark").as_bytes());
    assert_eq!(out.status().cells, CellCounts { total: 10, done: 3, other_version: 0, failed: 1, left_out: 1 });
    assert_eq!((status.cells_per_minute, status.seconds_left), (None, None));
    let error = "first second \u{fffd}[31m \u{fffd}".to_owned();
    assert_eq!(status.errors, [CellEvent { cell: "nano step8".into(), seconds_ago: 800, error: Some(error) }]);
    let lines = Status { experiments: vec![status], other_versions: Vec::new(), damaged: Vec::new() }.lines();
    assert_eq!(
        lines[..3],
        [
            "t: 3 of 10 cells done (30 %), 1 failed, 3 left out, 3 to do",
            "  No run is active; run the experiment again to resume.",
            "  last: nano step2, 11.7 min ago",
        ]
    );
    assert!(lines[3].starts_with("  failed: nano step8, 13.3 min ago: first second"), "{lines:?}");
}

#[test]
fn damaged_parts_are_named() {
    let out = Out::new("status-damaged");
    (0..5).for_each(|step| out.part("a", step));
    let status = Status::of(&out.0.0, NOW).expect("can be read");
    assert_eq!(status.damaged.len(), 5);
    let lines = status.lines();
    assert!(
        lines[0].starts_with("warning: this part is damaged: ") && lines[0].contains("step000000.parquet: "),
        "{lines:?}"
    );
    assert_eq!(lines[3], "warning: also damaged: 2 more parts");
    assert!(lines[4].starts_with("t: 0 of 10 cells done"), "{lines:?}");
}

#[test]
fn the_rate_is_that_of_the_recent_past() {
    let out = Out::new("status-rate");
    (0..4).for_each(|step| ["a", "b"].iter().for_each(|table| out.part(table, step)));
    let start = r#"{"started":{"name":"t","experiment":"h"}}"#;
    let done = r#"{"done":{"cell":"nano step1"}}"#;
    // Begun an hour ago; of what was done, three cells were in the last ten minutes.
    out.journal("elsewhere", 5, &[(3600, start), (3000, done), (500, done), (300, done), (100, done)]);
    let status = out.status();
    let process = Process { host: "elsewhere".into(), pid: 5, here: false, seconds: 3600, silent: 100 };
    assert_eq!(status.processes, [process]);
    assert_eq!((status.cells_per_minute, status.seconds_left), (Some(0.3), Some(1200.0)));
    let line = Status { experiments: vec![status], other_versions: Vec::new(), damaged: Vec::new() }.lines().remove(1);
    assert_eq!(
        line,
        "  running: process 5 on elsewhere, last active 1.7 min ago, 0.3 cells a minute, about 20.0 min left"
    );
    // Begun a minute ago.
    out.journal("elsewhere", 5, &[(60, start), (40, done), (20, done)]);
    assert_eq!(out.status().cells_per_minute, Some(2.0));
    // Nothing done yet, or nobody there any more.
    out.journal("elsewhere", 5, &[(60, start)]);
    assert_eq!((out.status().cells_per_minute, out.status().processes.len()), (None, 1));
    out.journal("elsewhere", 5, &[(60, start), (20, done), (1, r#"{"finished":{"failed":0,"seconds":59.0}}"#)]);
    assert_eq!((out.status().cells_per_minute, out.status().processes.len()), (None, 0));
}

#[test]
fn a_process_of_this_machine_that_died_is_not_at_work() {
    let out = Out::new("status-dead");
    let start = (10, r#"{"started":{"name":"t","experiment":"h"}}"#);
    out.journal(&host_name(), u32::MAX, &[start]);
    assert!(Status::of(&out.0.0, NOW).expect("can be read").is_settled());
    out.journal("elsewhere", u32::MAX, &[start]);
    assert!(!Status::of(&out.0.0, NOW).expect("can be read").is_settled());
}

#[test]
fn a_folder_without_runs_has_nothing_to_say_and_no_folder_is_an_error() {
    let scratch = Scratch::new("status-none");
    let error = Status::of(&scratch.0, NOW).expect_err("must refuse");
    assert!(matches!(error, StatusError::Index(IndexError::NoResults { .. })), "{error}");
    fs::create_dir_all(scratch.0.join("results")).expect("create");
    let status = Status::of(&scratch.0, NOW).expect("can be read");
    assert_eq!((status.lines(), status.is_settled()), (vec!["No run has started here yet.".to_owned()], true));
}

#[test]
fn tables_of_another_version_are_named_beside_the_progress() {
    let out = Out::new("status-version");
    let stamp = Stamp { model: "nano".into(), step: Some(0), tokens_seen: None, checkpoint_status: "ok".into() };
    let old = BTreeMap::from([("table_version".to_owned(), "3".to_owned())]);
    out.write("results/a/nano/step000000.parquet", &sink::encode(&stamp, 1, Vec::new(), &old).expect("encode"));
    let lines = Status::of(&out.0.0, NOW).expect("can be read").lines();
    assert!(lines[0].starts_with("warning: ") && lines[0].contains("table `a` is of version 3 there"), "{lines:?}");
    assert!(lines[1].starts_with("t: 0 of 10 cells done"), "{lines:?}");
    out.write("results/b/nano/step000000.parquet", &sink::encode(&stamp, 1, Vec::new(), &old).expect("encode"));
    let status = out.status();
    assert_eq!((status.cells.done, status.cells.other_version, status.cells.left()), (0, 1, 9));
    let lines = Status { experiments: vec![status], other_versions: Vec::new(), damaged: Vec::new() }.lines();
    let first = "t: 0 of 10 cells done (0 %), 1 of another version, which no command here reads, 9 to do";
    assert_eq!(lines[0], first);
    assert!(lines[1].contains("--fresh"), "{lines:?}");
    fs::remove_file(out.0.0.join("state/t.json")).expect("remove");
    let lines = Status::of(&out.0.0, NOW).expect("can be read").lines();
    assert!(lines[0].starts_with("warning: ") && lines[0].contains("table `a` is of version 3 there"), "{lines:?}");
    assert_eq!(lines[1..], ["No run has started here yet."]);
}
