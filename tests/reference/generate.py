"""Writes ../fixtures: tiny models in the forms the hub knows, and what TransformerLens 2.18 computes for them.

    python -m venv env && env/bin/pip install -r requirements.txt && env/bin/python -W ignore generate.py

The output depends on nothing but this folder and the versions in requirements.txt.
"""

import json
import pathlib

import torch
from safetensors.torch import save_file

import lens
import measures
import models

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"


def main():
    torch.set_num_threads(1)
    names, scores = {}, {}
    for name, shape, dtype, write in (
        ("parallel", models.PARALLEL, torch.float16, write_parallel),
        ("sequential", models.SEQUENTIAL, torch.float32, write_sequential),
        ("tied", models.TIED, torch.bfloat16, write_tied),
    ):
        state = {key: tensor.to(dtype) for key, tensor in models.weights(shape).items()}
        write(FIXTURES / name, shape, state, dtype)
        values = lens.reference(shape, state)
        save_file(values, str(FIXTURES / name / "reference.safetensors"))
        names[name] = [point.name for point in lens.hook_names(shape, state)]
        scores[name] = measures.scores(values)
        print(name, len(values), "tensors")
    (FIXTURES / "hook_names.json").write_text(json.dumps(names, indent=1) + "\n")
    (FIXTURES / "measures.json").write_text(json.dumps(scores, indent=1) + "\n")


def write_parallel(folder, shape, state, dtype):
    """The hub's main form: half precision with the old buffers; the same weights as a PyTorch file beside it."""
    full = state | models.legacy_buffers(shape, dtype)
    models.write_config(folder, shape, "rotary", dtype)
    models.write_safetensors(folder, full)
    bin_folder = folder.with_name(f"{folder.name}-bin")
    models.write_config(bin_folder, shape, "rotary", dtype)
    models.write_bin(bin_folder, full)
    models.write_hostile(folder.with_name("hostile"), state)


def write_sequential(folder, shape, state, dtype):
    """Shards with an index, under the newest names; the PyTorch shards keep the old names."""
    renamed = {("lm_head.weight" if key == "embed_out.weight" else key): tensor for key, tensor in state.items()}
    models.write_config(folder, shape, "rope_parameters", dtype)
    models.write_safetensors(folder, renamed, shards=3)
    bin_folder = folder.with_name(f"{folder.name}-bin")
    models.write_config(bin_folder, shape, "rotary", dtype)
    models.write_bin(bin_folder, state, shards=2)


def write_tied(folder, shape, state, dtype):
    models.write_config(folder, shape, "rope_theta", dtype)
    models.write_safetensors(folder, state)


if __name__ == "__main__":
    main()
