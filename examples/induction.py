# %% [markdown]
# # When do induction heads form?
#
# The results of `pythia demo` in Polars: load them, find when scores rise, draw the main plot. Run it as a script or
# cell by cell:
#
#     pip install polars matplotlib
#     python examples/induction.py out/demo induction.svg

# %%
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import polars as pl

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/demo")
picture = Path(sys.argv[2] if len(sys.argv) > 2 else "induction.svg")

# %% [markdown]
# One table per probe, one file per checkpoint; `step`, `layer` and `head` are columns. Undefined values are null, never
# NaN.

# %%
scores = (
    pl.scan_parquet(folder / "results/head_scores/**/*.parquet")
    .filter(pl.col("score") == "induction", pl.col("definition") == "strict")
    .select("model", "step", "layer", "head", "value", "uniform")
    .collect()
)
losses = (
    pl.scan_parquet(folder / "results/induction_loss/**/*.parquet")
    .filter(pl.col("metric") == "loss_second_half")
    .group_by("step")
    .agg(pl.col("value").mean().alias("loss"))
    .sort("step")
    .collect()
)

# %% [markdown]
# Which heads cross 0.5 first, and at which step?

# %%
crossings = (
    scores.filter(pl.col("value") >= 0.5)
    .group_by("layer", "head")
    .agg(pl.col("step").min().alias("first_step"))
    .sort("first_step", "layer", "head")
)
print(crossings)

# %% [markdown]
# The main plot. Step 0 has no logarithm, so x is `step + 1`.

# %%
figure, (above, below) = plt.subplots(2, sharex=True, figsize=(7, 5), height_ratios=[2, 1])
for (layer, head), curve in scores.sort("step").group_by("layer", "head", maintain_order=True):
    above.plot(curve["step"] + 1, curve["value"], label=f"L{layer}H{head}", linewidth=1.2)
uniform = scores["uniform"].drop_nulls().first()
above.axhline(uniform, color="grey", linestyle="--", linewidth=0.8, label="uniform attention")
above.set_ylabel("induction score (strict)")
above.legend(fontsize=7, ncols=3, frameon=False)
below.plot(losses["step"] + 1, losses["loss"], color="black", linewidth=1.2)
below.set_ylabel("loss on repeated\ntokens (nats)")
below.set_xscale("log")
below.set_xlabel("step + 1")
figure.tight_layout()
figure.savefig(picture, metadata={"Date": None})
print(f"the plot is in {picture}")
