#!/usr/bin/env python3
"""Runs our whole workloads and the peers' in turn, several rounds, and prints the ratios.

    cargo build --release --bin pythia
    python3 tests/bench/compare.py --peers FOLDER [--rounds 3] [--only b-70m,h] [--out lines.jsonl]

FOLDER holds peers.py, which times TransformerLens and transformers and prints one line of JSON per workload. PEERS_HOME
(default ~/.cache/pythia-peers) holds their Python environments (pt, tl2) and the models (models/70m/fp32,
models/70m/fp16, models/160m/..., models/ckpt70m/step0 ...). Nothing but the standard library is needed here.

One round runs each program of a workload once, one after the other, so that they share whatever else the machine does
in that minute. A ratio is the median over rounds of (peer's median / our median): above 1, we are faster.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


class Contestant:
    """One program on one workload."""

    def __init__(self, name, command):
        self.name, self.command = name, [str(part) for part in command]

    def run(self):
        done = subprocess.run(self.command, capture_output=True, text=True, check=False)
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode != 0 or not lines:
            sys.exit(f"{' '.join(self.command)} failed:\n{done.stderr[-2000:]}")
        return json.loads(lines[-1])


def workloads(home, peers, binary, reps):
    """Every comparison: the name, ours, and the peers."""
    models = home / "models"
    python = {name: home / name / "bin" / "python" for name in ("pt", "tl2")}

    def ours(work, model, *more):
        return Contestant("pythia", [binary, "bench", work, "--model", models / model, "--reps", reps, *more])

    def theirs(peer, work, size, *more):
        env = "tl2" if peer == "tl2" else "pt"
        script = [python[env], "-W", "ignore", peers / "peers.py", "--peer", peer, "--work", work, "--size", size]
        return Contestant(peer, [*script, "--reps", reps, "--out", os.devnull, *more])

    def last(size):
        script = [python["pt"], "-W", "ignore", HERE / "last_logits.py", models / size / "fp32", "--reps", reps]
        return Contestant("hf", script)

    for size in ("70m", "160m"):
        yield f"b-{size}", ours("b", f"{size}/fp32"), [theirs("hf", "b", size, "--variant", "sdpa")]
        yield f"last-{size}", ours("b", f"{size}/fp32", "--last-logits"), [last(size)]
    yield "a-160m", ours("a", "160m/fp16"), [theirs("hf", "a", "160m", "--file", "fp16")]
    if (models / "160m" / "bin").is_dir():
        yield "a-160m-bin", ours("a", "160m/bin"), [ours("a", "160m/fp16")]
    yield "c-70m", ours("c", "70m/fp32"), [theirs("tl2", "c", "70m"), theirs("hf", "c", "70m")]
    yield "g-70m", ours("g", "70m/fp32"), [theirs("tl2", "g", "70m", "--variant", "good"), theirs("hf", "g", "70m")]
    for size, few in (("70m", 48), ("160m", 24)):
        # The peers' slow sweeps are timed on some of their cells, evenly spread, and scaled up.
        for batch in ("1", "8"):
            mine = ours("d", f"{size}/fp32", "--batch", batch)
            smart = theirs("hf", "d", size, "--batch", batch, "--variant", "smart")
            yield f"d-{size}-{batch}", mine, [theirs("tl2", "d", size, "--batch", batch, "--sample", few), smart]
        for work in ("e2", "e1"):
            mine = ours(work, f"{size}/fp32", "--batch", "1")
            yield f"{work}-{size}", mine, [theirs("tl2", work, size, "--batch", "1", "--sample", few)]
        smart = theirs("hf", "f", size, "--batch", "8", "--variant", "smart")
        cached = theirs("tl2", "f", size, "--batch", "8", "--sample", few // 2)
        yield f"f-{size}", ours("f", f"{size}/fp32"), [cached, smart]
    yield "h", ours("h", "ckpt70m"), [theirs("tl2", "h", "70m", "--variant", "good"), theirs("hf", "h", "70m")]


def compare(name, contestants, rounds, out):
    """Rounds in turn; the lines of each contestant."""
    lines = [[] for _ in contestants]
    for _ in range(rounds):
        for index, contestant in enumerate(contestants):
            line = contestant.run()
            lines[index].append(line)
            if out:
                out.write(json.dumps({"comparison": name, **line}) + "\n")
                out.flush()
    return lines


def rate(lines):
    """Our interventions' operations, and how many of them a second."""
    flops = lines[0].get("flops")
    if not flops:
        return ""
    seconds = statistics.median(line["median_s"] for line in lines)
    return f"{flops / 1e9:.1f} GFLOP at {flops / 1e9 / seconds:.0f}/s   "


def report(name, contestants, lines):
    ours = lines[0]
    for contestant, theirs in zip(contestants[1:], lines[1:]):
        ratios = [their["median_s"] / our["median_s"] for our, their in zip(ours, theirs)]
        seconds = [statistics.median(line["median_s"] for line in side) for side in (ours, theirs)]
        memory = [max(line["rss_mb"] or 0 for line in side) for side in (ours, theirs)]
        busy = max(line["busy_other"] for line in ours + theirs)
        print(
            f"{name:12} pythia {seconds[0]:8.4f} s {memory[0]:6d} MiB   {contestant.name:6} {seconds[1]:8.4f} s "
            f"{memory[1]:6d} MiB   {rate(ours)}ratio {statistics.median(ratios):5.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}), "
            f"others used up to {busy:.0%}",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, required=True, help="folder with peers.py")
    parser.add_argument("--binary", type=Path, default=ROOT / "target" / "release" / "pythia")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reps", type=int, default=5, help="repetitions of each contestant in each round")
    parser.add_argument("--only", default="", help="comma-separated names")
    parser.add_argument("--out", type=argparse.FileType("a"), help="append every line of JSON here")
    args = parser.parse_args()
    home = Path(os.environ.get("PEERS_HOME") or Path.home() / ".cache" / "pythia-peers")
    wanted = set(filter(None, args.only.split(",")))
    for name, ours, theirs in workloads(home, args.peers, args.binary, args.reps):
        if wanted and name not in wanted:
            continue
        contestants = [ours, *theirs]
        report(name, contestants, compare(name, contestants, args.rounds, args.out))


main()
