//! Parts that are cut, changed and made to deceive: an answer or the error, and never a panic or much memory.

use std::fs;
use std::path::PathBuf;

use polars::prelude::{DataFrame, ParquetWriter};

use super::*;
use crate::query::query;
use crate::results::Results;
use crate::summary::summary;
use crate::testing::{Scratch, head_scores, ints};

/// A folder with three parts, and the bytes of the middle one.
fn folder(name: &str) -> (Scratch, PathBuf, Vec<u8>) {
    let scratch = Scratch::new(name);
    head_scores(&scratch.0, "m", (3, 4), &[0, 64, 128]);
    let part = scratch.0.join("results/head_scores/m/step000064.parquet");
    let bytes = fs::read(&part).expect("a part");
    (scratch, part, bytes)
}

/// What reading the folder says of damage: nothing, or the error.
fn told(scratch: &Scratch) -> String {
    let mut results = match Results::open(&scratch.0) {
        Ok(results) => results,
        Err(error) => return error.to_string(),
    };
    let summed = results.around_damage(|results| summary(results, 5));
    let asked = results.around_damage(|results| query(results, "SELECT * FROM head_scores"));
    let answers = [summed.err().map(|error| error.to_string()), asked.err().map(|error| error.to_string())];
    let damage = results.damage().map(|error| error.to_string());
    answers.into_iter().chain([damage]).flatten().collect::<Vec<_>>().join("; ")
}

/// The most memory that this process ever had, in bytes; none where the system does not say.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

#[test]
fn no_change_of_a_byte_and_no_cut_is_a_panic_or_much_memory() {
    let (scratch, part, bytes) = folder("part-fuzz");
    assert_eq!(told(&scratch), "");
    let (mut damaged, mut tried) = (0, 0);
    let mut state = 7_u64;
    for index in 0..bytes.len() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // One byte of about fifty, each with another change, so that the test takes a second.
        if !(state >> 40).is_multiple_of(50) {
            continue;
        }
        tried += 1;
        let mut changed = bytes.clone();
        changed[index] ^= [0xff, 0x80, 0x01, (state >> 33) as u8 | 1][tried % 4];
        fs::write(&part, changed).expect("write");
        damaged += usize::from(told(&scratch).starts_with("this part is damaged: "));
    }
    assert!(damaged > tried / 4, "{damaged} of {tried} changes");
    for end in (0..bytes.len()).step_by(401) {
        fs::write(&part, &bytes[..end]).expect("write");
        assert!(told(&scratch).starts_with(&format!("this part is damaged: {}: ", part.display())), "{end}");
    }
    if let Some(peak) = peak() {
        assert!(peak < 1 << 30, "{peak} bytes");
    }
}

#[test]
fn the_others_are_shown_and_the_damaged_one_is_named() {
    let (scratch, part, mut bytes) = folder("part-shown");
    // A page whose compressed bytes are not those of its codec: its layout is right.
    let zstd = [0x28, 0xb5, 0x2f, 0xfd];
    let page = bytes.windows(4).rposition(|four| four == zstd).expect("a compressed page");
    bytes[page + 4..page + 8].fill(0xff);
    fs::write(&part, &bytes).expect("write");
    let mut results = Results::open(&scratch.0).expect("results");
    let listings = results.around_damage(|results| summary(results, 5)).expect("a summary");
    assert!(!listings[0].rows.is_empty());
    let answer = results.around_damage(|results| query(results, "SELECT * FROM head_scores")).expect("an answer");
    assert_eq!(answer.height(), 2 * 12);
    assert!(matches!(results.damaged.as_slice(), [DamagedPart { path, .. }] if *path == part), "{:?}", results.damaged);
    let error = results.damage().expect("an error");
    assert!(error.to_string().starts_with(&format!("this part is damaged: {}: ", part.display())), "{error}");
    assert!(error.remedy().contains("run the same experiment again"), "{}", error.remedy());
    let merged = ResultsError::Damaged { parts: vec![DamagedPart::new(Path::new("out/merged/t/m.parquet"), "x\ny")] };
    assert_eq!(merged.to_string(), "this part is damaged: out/merged/t/m.parquet: x");
    assert!(merged.remedy().contains("merge again"), "{}", merged.remedy());
}

#[test]
fn a_part_that_asks_for_more_memory_than_its_bytes_can_fill_is_refused() {
    let (scratch, part, bytes) = folder("part-bomb");
    let (footer, size) = (bytes.len() - 8, u32::from_le_bytes(bytes[bytes.len() - 8..][..4].try_into().expect("four")));
    let begin = footer - size as usize;
    // The first list of the footer, the schema, becomes one of 2^31 elements.
    let mut long = bytes.clone();
    let at = begin + bytes[begin..].iter().position(|byte| *byte == 0x19).expect("a list") + 1;
    long.splice(at..=at, [0xfc, 0xff, 0xff, 0xff, 0xff, 0x07]);
    let end = long.len() - 8;
    long[end..end + 4].copy_from_slice(&(size + 5).to_le_bytes());
    fs::write(&part, &long).expect("write");
    assert!(told(&scratch).contains("it ends in the middle of a structure"), "{}", told(&scratch));
    // Equal numbers compress a thousandfold; so many of them are no table of this program.
    let rows = 30_000_000;
    let mut frame = DataFrame::new(rows, vec![ints("layer", vec![Some(7); rows])]).expect("one column");
    ParquetWriter::new(File::create(&part).expect("a file")).finish(&mut frame).expect("a table");
    drop(frame);
    let told_of_it = told(&scratch);
    assert!(told_of_it.contains("bytes of memory, and at most "), "{told_of_it}");
    fs::write(&part, b"<html>404 not found, and some more</html>").expect("write");
    assert!(
        told(&scratch).contains("it is not a Parquet file: its first or its last four bytes"),
        "{}",
        told(&scratch)
    );
}
