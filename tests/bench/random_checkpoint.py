#!/usr/bin/env python3
"""A checkpoint of random weights in the shape of a model of the suite: config.json and a float16 model.safetensors.

    python3 tests/bench/random_checkpoint.py 2.8b FOLDER [--seed 0]

Needs numpy and nothing else. Values are drawn and written tensor by tensor, a piece at a time, so the 12b shape
(23.8 GB) takes little memory. The same shape and seed give the same file. Matrices have a standard deviation of 0.02,
and those that write to the residual stream a smaller one in deep models, as such models are initialised, so that
activations stay finite. Gains of norms are near one.
"""
import argparse
import json
import math
import os
import struct

import numpy

SUITE = os.path.join(os.path.dirname(__file__), "../../pythia-core/suite.json")
PIECE = 1 << 24


def tensors(shape):
    """Names, extents, spread and centre of all tensors, in the order of the file."""
    d, m, v, layers = (shape[key] for key in ("d_model", "d_mlp", "vocab_size", "n_layers"))
    out = 0.02 / math.sqrt(2 * layers)
    yield "gpt_neox.embed_in.weight", [v, d], 0.02, 0.0
    for layer in range(layers):
        for name, extents, spread, centre in [
            ("input_layernorm.weight", [d], 0.02, 1.0),
            ("input_layernorm.bias", [d], 0.02, 0.0),
            ("post_attention_layernorm.weight", [d], 0.02, 1.0),
            ("post_attention_layernorm.bias", [d], 0.02, 0.0),
            ("attention.query_key_value.weight", [3 * d, d], 0.02, 0.0),
            ("attention.query_key_value.bias", [3 * d], 0.02, 0.0),
            ("attention.dense.weight", [d, d], out, 0.0),
            ("attention.dense.bias", [d], 0.02, 0.0),
            ("mlp.dense_h_to_4h.weight", [m, d], 0.02, 0.0),
            ("mlp.dense_h_to_4h.bias", [m], 0.02, 0.0),
            ("mlp.dense_4h_to_h.weight", [d, m], out, 0.0),
            ("mlp.dense_4h_to_h.bias", [d], 0.02, 0.0),
        ]:
            yield f"gpt_neox.layers.{layer}.{name}", extents, spread, centre
    yield "gpt_neox.final_layer_norm.weight", [d], 0.02, 1.0
    yield "gpt_neox.final_layer_norm.bias", [d], 0.02, 0.0
    yield "embed_out.weight", [v, d], 0.02, 0.0


def config(shape):
    return {
        "architectures": ["GPTNeoXForCausalLM"], "model_type": "gpt_neox", "hidden_act": "gelu",
        "hidden_size": shape["d_model"], "intermediate_size": shape["d_mlp"], "num_hidden_layers": shape["n_layers"],
        "num_attention_heads": shape["n_heads"], "vocab_size": shape["vocab_size"],
        "max_position_embeddings": shape["n_ctx"],
        "layer_norm_eps": 1e-5, "rotary_pct": shape["rotary_ndims"] * shape["n_heads"] / shape["d_model"],
        "rotary_emb_base": 10000, "use_parallel_residual": True,
        "tie_word_embeddings": False, "bos_token_id": 0, "eos_token_id": 0, "torch_dtype": "float16",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", help="a size of the suite, such as 2.8b")
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--suite", default=SUITE, help="the suite's description, suite.json")
    args = parser.parse_args()
    with open(args.suite) as file:
        suite = json.load(file)
    shape = {**suite["sizes"][args.shape], "n_ctx": suite["n_ctx"]}
    os.makedirs(args.folder, exist_ok=True)
    with open(os.path.join(args.folder, "config.json"), "w") as file:
        json.dump(config(shape), file, indent=1)
    header, offset, every = {}, 0, list(tensors(shape))
    for name, extents, _, _ in every:
        size = 2 * math.prod(extents)
        header[name] = {"dtype": "F16", "shape": extents, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    # SFC64 is numpy's quickest generator; normal numbers of float32 are rounded to float16 once.
    random = numpy.random.Generator(numpy.random.SFC64(args.seed))
    with open(os.path.join(args.folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, extents, spread, centre in every:
            left = math.prod(extents)
            while left:
                n = min(left, PIECE)
                values = random.standard_normal(n, dtype=numpy.float32) * numpy.float32(spread) + numpy.float32(centre)
                file.write(values.astype(numpy.float16).tobytes())
                left -= n


if __name__ == "__main__":
    main()
