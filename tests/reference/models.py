"""Tiny random GPT-NeoX models and the files a user would meet them in.

Every shape is chosen to break careless code: an odd vocabulary, an odd MLP width, three heads, a rotary part that is
smaller than the head, biases and LayerNorm weights that are far from their initial values.
"""

import dataclasses
import json
import os

import torch
from safetensors.torch import save_file


@dataclasses.dataclass(frozen=True)
class Shape:
    """The facts of one model, independent of how its config.json spells them."""

    layers: int
    width: int
    heads: int
    mlp: int
    vocab: int
    context: int
    rotary_pct: float
    rotary_base: int
    eps: float
    parallel: bool
    tied: bool
    bias: bool
    seed: int

    @property
    def head_width(self):
        return self.width // self.heads

    @property
    def rotary_dims(self):
        return int(self.head_width * self.rotary_pct)


PARALLEL = Shape(2, 24, 3, 37, 61, 48, 0.5, 10000, 1e-5, True, False, True, 11)
SEQUENTIAL = Shape(3, 20, 2, 43, 53, 48, 0.4, 25000, 1e-3, False, False, True, 12)
TIED = Shape(2, 24, 2, 33, 59, 48, 1.0, 10000, 1e-5, True, True, False, 13)


def weights(shape):
    """Random parameters under the names of GPTNeoXForCausalLM, in float32.

    The scales keep pre-activations near one and spread the attention scores, so that no score is close to uniform.
    """
    rng = torch.Generator().manual_seed(shape.seed)
    width, mlp = shape.width, shape.mlp

    def normal(*size, std):
        return torch.randn(*size, generator=rng) * std

    def norm(prefix):
        return {
            f"{prefix}.weight": 0.5 + torch.rand(width, generator=rng),
            f"{prefix}.bias": normal(width, std=0.2),
        }

    def linear(prefix, rows, columns, gain, bias=True):
        out = {f"{prefix}.weight": normal(rows, columns, std=gain * columns**-0.5)}
        if bias:
            out[f"{prefix}.bias"] = normal(rows, std=0.15)
        return out

    state = {"gpt_neox.embed_in.weight": normal(shape.vocab, width, std=0.7)}
    for layer in range(shape.layers):
        block = f"gpt_neox.layers.{layer}"
        state |= norm(f"{block}.input_layernorm") | norm(f"{block}.post_attention_layernorm")
        state |= linear(f"{block}.attention.query_key_value", 3 * width, width, 1.5, shape.bias)
        state |= linear(f"{block}.attention.dense", width, width, 0.8, shape.bias)
        state |= linear(f"{block}.mlp.dense_h_to_4h", mlp, width, 1.2)
        state |= linear(f"{block}.mlp.dense_4h_to_h", width, mlp, 1.0)
    state |= norm("gpt_neox.final_layer_norm")
    if not shape.tied:
        state["embed_out.weight"] = normal(shape.vocab, width, std=2.0 * width**-0.5)
    return state


def legacy_buffers(shape, dtype):
    """The buffers that old releases of the modelling code saved beside the parameters."""
    mask = torch.ones(shape.context, shape.context, dtype=torch.bool).tril()
    half = torch.arange(0, shape.rotary_dims, 2) / shape.rotary_dims
    out = {}
    for layer in range(shape.layers):
        attention = f"gpt_neox.layers.{layer}.attention"
        out[f"{attention}.bias"] = mask[None, None].clone()
        out[f"{attention}.masked_bias"] = torch.tensor(-1e9).to(dtype)
        out[f"{attention}.rotary_emb.inv_freq"] = (shape.rotary_base**-half).to(dtype)
    return out


def config(shape, dialect, dtype):
    """config.json in one of the three spellings found in the wild."""
    out = {
        "architectures": ["GPTNeoXForCausalLM"],
        "bos_token_id": 0,
        "eos_token_id": 0,
        "hidden_act": "gelu",
        "hidden_size": shape.width,
        "initializer_range": 0.02,
        "intermediate_size": shape.mlp,
        "layer_norm_eps": shape.eps,
        "max_position_embeddings": shape.context,
        "model_type": "gpt_neox",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "tie_word_embeddings": shape.tied,
        "use_cache": True,
        "use_parallel_residual": shape.parallel,
        "vocab_size": shape.vocab,
    }
    name = str(dtype).removeprefix("torch.")
    if not shape.bias:
        out["attention_bias"] = False
    if dialect == "rotary":
        out |= {"rotary_pct": shape.rotary_pct, "rotary_emb_base": shape.rotary_base, "torch_dtype": name}
    elif dialect == "rope_parameters":
        rope = {"rope_type": "default", "rope_theta": float(shape.rotary_base)}
        rope["partial_rotary_factor"] = shape.rotary_pct
        out |= {"rope_parameters": rope, "dtype": name}
    else:
        out |= {"rope_theta": shape.rotary_base, "partial_rotary_factor": shape.rotary_pct, "dtype": name}
    return out


def write_config(folder, shape, dialect, dtype):
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config(shape, dialect, dtype), indent=2, sort_keys=True)
    (folder / "config.json").write_text(text + "\n")


def write_safetensors(folder, state, shards=1):
    def save(part, path):
        save_file(part, path, metadata={"format": "pt"})

    _write(folder, state, shards, "model", "safetensors", save)


def write_bin(folder, state, shards=1):
    _write(folder, state, shards, "pytorch_model", "bin", torch.save)


def _write(folder, state, shards, stem, ending, save):
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    if shards == 1:
        save(state, str(folder / f"{stem}.{ending}"))
        return
    names, home = list(state), {}
    per_shard = -(-len(names) // shards)
    for shard in range(shards):
        file = f"{stem}-{shard + 1:05d}-of-{shards:05d}.{ending}"
        part = names[shard * per_shard : (shard + 1) * per_shard]
        save({name: state[name] for name in part}, str(folder / file))
        home |= dict.fromkeys(part, file)
    size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    index = {"metadata": {"total_size": size}, "weight_map": home}
    (folder / f"{stem}.{ending}.index.json").write_text(json.dumps(index, indent=1) + "\n")


class _Call:
    """Pickles as a call of `posix.system`, which a reader must refuse and never make."""

    def __reduce__(self):
        return os.system, ("touch hostile-pickle-was-run",)


def write_hostile(folder, state):
    """Two files in PyTorch's container that must be refused: one asks for a call, one claims a giant tensor."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state | {"extra": _Call()}, folder / "call.bin")
    first = next(iter(state))
    giant = state | {first: torch.zeros(1, dtype=torch.float16).expand(2**17, 2**15)}
    torch.save(giant, folder / "giant.bin")
