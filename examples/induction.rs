//! When do induction heads form? The results of `pythia demo` with Polars in Rust, and the main plot as SVG:
//!
//!     cargo run --release --example induction -- out/demo induction.svg

use std::error::Error;
use std::path::PathBuf;

use polars::prelude::*;
use pythia_report::chart::{Chart, LinePanel, Lines, Point, Series as Curve, Tone, X, Y};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let folder = PathBuf::from(args.next().unwrap_or_else(|| "out/demo".into()));
    let picture = PathBuf::from(args.next().unwrap_or_else(|| "induction.svg".into()));

    // One table per probe, one file per checkpoint.
    let files = folder.join("results/head_scores/**/*.parquet");
    let scores = LazyFrame::scan_parquet(PlRefPath::try_from_pathbuf(files)?, ScanArgsParquet::default())?
        .filter(col("score").eq(lit("induction")).and(col("definition").eq(lit("strict"))))
        .select([col("step"), col("layer"), col("head"), col("value")])
        .sort(["layer", "head", "step"], SortMultipleOptions::default());

    // Which heads cross 0.5 first, and at which step?
    let crossings = scores
        .clone()
        .filter(col("value").gt_eq(lit(0.5)))
        .group_by([col("layer"), col("head")])
        .agg([col("step").min().alias("first_step")])
        .sort(["first_step", "layer", "head"], SortMultipleOptions::default())
        .collect()?;
    let (layers, heads) = (crossings.column("layer")?.i64()?, crossings.column("head")?.i64()?);
    for ((layer, head), step) in layers.iter().zip(heads.iter()).zip(crossings.column("first_step")?.i64()?.iter()) {
        println!("L{}H{} at step {}", layer.unwrap_or(-1), head.unwrap_or(-1), step.unwrap_or(-1));
    }

    // The main plot: a curve for each head.
    let frame = scores.collect()?;
    let mut series: Vec<Curve> = Vec::new();
    let rows = frame.column("layer")?.i64()?.iter().zip(frame.column("head")?.i64()?.iter());
    let rows = rows.zip(frame.column("step")?.i64()?.iter()).zip(frame.column("value")?.f64()?.iter());
    for (((layer, head), step), value) in rows {
        let name = format!("L{}H{}", layer.unwrap_or(-1), head.unwrap_or(-1));
        if series.last().is_none_or(|last| last.name != name) {
            series.push(Curve { name, tone: Tone::Color(series.len()), points: Vec::new(), event: None });
        }
        let point = Point { x: step.unwrap_or(0) as f64, y: value, band: None };
        series.last_mut().ok_or("a curve was just added")?.points.push(point);
    }
    let chart = Chart::Lines(Lines {
        x: X::Steps { tokens_per_step: None },
        y: Y { label: "induction score (strict)".into(), include: vec![0.0] },
        panels: vec![LinePanel { title: String::new(), series }],
    });
    std::fs::write(&picture, chart.draw("induction", "How induction emerges", "Induction score of every head").svg)?;
    println!("the plot is in {}", picture.display());
    Ok(())
}
