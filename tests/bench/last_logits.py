#!/usr/bin/env python3
"""transformers' forward pass with the logits of the last position only: 8 x 128 tokens, one line of JSON.

    $PEERS_HOME/pt/bin/python tests/bench/last_logits.py FOLDER_OF_A_MODEL [--reps 5] [--threads 2]
"""
import argparse
import json
import os
import resource
import statistics
import time

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", CUDA_VISIBLE_DEVICES="")
import torch  # noqa: E402
import transformers  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("--reps", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
args = parser.parse_args()

torch.set_num_threads(args.threads)
transformers.logging.set_verbosity_error()
model = transformers.AutoModelForCausalLM.from_pretrained(
    args.model, dtype=torch.float32, attn_implementation="sdpa"
).eval()
tokens = torch.randint(0, model.config.vocab_size, (8, 128), generator=torch.Generator().manual_seed(2))
times = []
with torch.no_grad():
    for _ in range(args.reps + 1):
        start = time.perf_counter()
        model(tokens, use_cache=False, logits_to_keep=1)
        times.append(time.perf_counter() - start)
first, times = times[0], times[1:]
print(json.dumps({
    "peer": "hf", "work": "b", "variant": "last", "batch": 8, "seq": 128, "threads": args.threads,
    "median_s": statistics.median(times), "min_s": min(times), "max_s": max(times),
    "first_s": first, "reps": len(times),
    "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "busy_other": 0.0,
}))
