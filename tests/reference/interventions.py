"""Writes ../fixtures/causal: what interventions do to the tiny models, computed in numpy in float64.

    python interventions.py            # numpy alone is needed
    python interventions.py --check    # compares with the committed files instead

One prompt is run at a time, every run in full, with a function that is called at every hook. Nothing is shared with
the Rust code: the forward pass, the metrics and the means are written out here. Before anything is written, the
forward pass and its hooks are compared with the float64 values of TransformerLens that lie beside the models.
"""

import json
import math
import pathlib
import struct
import sys

import numpy as np

from draws import chacha8

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
MODELS = ("parallel", "sequential", "tied")
METRICS = ("logit_diff", "kl", "loss")
DTYPES = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "I64": np.int64}
# Hooks by their names in TransformerLens.
NAMES = {name: f"attn.hook_{name}" for name in ("q", "k", "v", "z", "pattern")}
NAMES |= {name: f"hook_{name}" for name in ("resid_pre", "attn_out", "mlp_out", "resid_post")}
NAMES |= {"mlp_post": "mlp.hook_post"}
# The part of a generator's key after the seed, and the positions that get noise.
NOISE = b"causal/noise".ljust(24, b"\0")
NOISED = (1, -2)


# Reading --------------------------------------------------------------------------------------------------------------


def read_safetensors(path):
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] not in (*DTYPES, "BF16"):
            continue
        start, end = entry["data_offsets"]
        raw = body[start:end]
        if entry["dtype"] == "BF16":
            values = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.frombuffer(raw, DTYPES[entry["dtype"]])
        tensors[name] = values.astype(np.float64).reshape(entry["shape"])
    return tensors


class Model:
    """A GPT-NeoX whose forward pass calls `hook(name, layer, value)` wherever something can be edited."""

    def __init__(self, folder):
        config = json.loads((folder / "config.json").read_text())
        rope = config.get("rope_parameters", {})
        state = {}
        for file in sorted(folder.glob("model*.safetensors")):
            state |= read_safetensors(file)
        self.layers, self.heads = config["num_hidden_layers"], config["num_attention_heads"]
        self.width, self.mlp_width = config["hidden_size"], config["intermediate_size"]
        self.head_width = self.width // self.heads
        self.eps, self.parallel = config["layer_norm_eps"], config["use_parallel_residual"]
        share = config.get("rotary_pct", config.get("partial_rotary_factor", rope.get("partial_rotary_factor")))
        self.rotary = int(self.head_width * share)
        self.base = config.get("rotary_emb_base", config.get("rope_theta", rope.get("rope_theta")))
        self.state, self.vocab = state, config["vocab_size"]
        self.embed = state["gpt_neox.embed_in.weight"]
        tied = config["tie_word_embeddings"]
        self.unembed = self.embed if tied else state.get("embed_out.weight", state.get("lm_head.weight"))

    def of(self, layer, name):
        return self.state.get(f"gpt_neox.layers.{layer}.{name}", 0.0)

    def norm(self, x, prefix):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + self.eps)
        return scaled * self.state[f"{prefix}.weight"] + self.state[f"{prefix}.bias"]

    def rotate(self, x):
        """x: [head, pos, head_width]. The first `rotary` numbers of a head rotate, number i with i + rotary / 2."""
        half = self.rotary // 2
        angles = np.arange(x.shape[1])[:, None] * self.base ** (-np.arange(half) * 2 / self.rotary)
        cos, sin = np.cos(angles), np.sin(angles)
        a, b, rest = x[..., :half], x[..., half : self.rotary], x[..., self.rotary :]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin, rest], -1)

    def project(self, layer, part, inputs):
        """Queries, keys or values (part 0, 1, 2) of every head from its own input, [head, pos, head_width]."""
        weight = self.of(layer, "attention.query_key_value.weight").reshape(self.heads, 3, self.head_width, self.width)
        bias = np.broadcast_to(self.of(layer, "attention.query_key_value.bias"), 3 * self.width)
        bias = bias.reshape(self.heads, 3, self.head_width)
        normed = self.norm(inputs, f"gpt_neox.layers.{layer}.input_layernorm")
        return np.einsum("hpd,hed->hpe", normed, weight[:, part]) + bias[:, part, None]

    def attention(self, layer, stream, hook):
        copies = [hook(name, layer, np.stack([stream] * self.heads)) for name in ("q_input", "k_input", "v_input")]
        q, k, v = (hook("qkv"[part], layer, self.project(layer, part, copies[part])) for part in range(3))
        scores = np.einsum("hqe,hke->hqk", self.rotate(q), self.rotate(k)) / math.sqrt(self.head_width)
        scores = np.where(np.tri(stream.shape[0], dtype=bool), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        pattern = hook("pattern", layer, weights / weights.sum(-1, keepdims=True))
        z = hook("z", layer, pattern @ v)
        out = np.concatenate(list(z), -1) @ self.of(layer, "attention.dense.weight").T
        return hook("attn_out", layer, out + self.of(layer, "attention.dense.bias"))

    def feed_forward(self, layer, stream, hook):
        stream = hook("mlp_in", layer, stream)
        normed = self.norm(stream, f"gpt_neox.layers.{layer}.post_attention_layernorm")
        pre = normed @ self.of(layer, "mlp.dense_h_to_4h.weight").T + self.of(layer, "mlp.dense_h_to_4h.bias")
        post = hook("mlp_post", layer, 0.5 * pre * (1 + np.vectorize(math.erf)(pre / math.sqrt(2))))
        out = post @ self.of(layer, "mlp.dense_4h_to_h.weight").T + self.of(layer, "mlp.dense_4h_to_h.bias")
        return hook("mlp_out", layer, out)

    def run(self, tokens, hook=lambda name, layer, value: value):
        """Logits, [pos, vocab]."""
        stream = hook("embed", None, self.embed[tokens])
        for layer in range(self.layers):
            stream = hook("resid_pre", layer, stream)
            attn = self.attention(layer, stream, hook)
            if self.parallel:
                stream = stream + attn + self.feed_forward(layer, stream, hook)
            else:
                stream = hook("resid_mid", layer, stream + attn)
                stream = stream + self.feed_forward(layer, stream, hook)
            stream = hook("resid_post", layer, stream)
        return self.norm(stream, "gpt_neox.final_layer_norm") @ self.unembed.T

    def cache(self, tokens):
        """Every activation of a run, by (name, layer)."""
        seen = {}

        def keep(name, layer, value):
            seen[name, layer] = value
            return value

        self.run(tokens, keep)
        return seen


# Interventions --------------------------------------------------------------------------------------------------------


def put(name, layer, where, source):
    """A hook that writes `source` at the index `where` of one activation. A source of one number per column spreads."""

    def hook(at, of, value):
        if (at, of) != (name, layer):
            return value
        value = value.copy()
        value[where] = np.broadcast_to(source, value.shape)[where]
        return value

    return hook


def log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def measure(logits, base, tokens, pair):
    """METRICS of a run; `base` are the logits of the run without an intervention."""
    last, log_p, log_base = logits[-1], log_softmax(logits), log_softmax(base[-1])
    difference = last[pair["answer"]].mean() - last[pair["wrong"]].mean()
    kl = (np.exp(log_base) * (log_base - log_p[-1])).sum()
    loss = -np.mean([log_p[at, tokens[at + 1]] for at in range(len(tokens) - 1)])
    return [float(difference), float(kl), float(loss)]


def pairs(model, seed):
    """Three pairs, of two lengths, which differ at two positions."""
    state = [seed]

    def below(n):
        state[0] = (state[0] * 6364136223846793005 + 1442695040888963407) % 2**64
        return (state[0] >> 33) % n

    made = []
    for length in (6, 7, 6):
        clean = [below(model.vocab) for _ in range(length)]
        corrupt = list(clean)
        for at in (1, length - 2):
            corrupt[at] = (clean[at] + 1 + below(model.vocab - 1)) % model.vocab
        first = below(model.vocab)
        answers = [(first + 7 * index) % model.vocab for index in range(4)]
        made.append({"clean": clean, "corrupt": corrupt, "answer": answers[:1], "wrong": answers[1:3]})
    made[1]["answer"].append(answers[3] if answers[3] not in made[1]["wrong"] + made[1]["answer"] else first)
    made[1]["answer"] = sorted(set(made[1]["answer"]) - set(made[1]["wrong"]))
    return made


def places(model, hook, length, positions, heads, keys):
    """(pos, head, key) with the index into the activation, for one prompt."""
    every = slice(None)
    with_heads = hook in ("q", "k", "v", "z", "pattern")
    for head in range(model.heads) if heads and with_heads else [None]:
        for pos in range(length) if positions else [None]:
            for key in range(pos + 1) if keys else [None]:
                at = (every if pos is None else pos,)
                if with_heads:
                    at = (every if head is None else head, *at)
                yield (pos, head, key), (*at, key) if keys else at


def patching(model, pair, hook, direction, positions, heads, keys):
    """Rows [layer, pos, head, key, METRICS…] of patches of one hook."""
    base, source = (pair["corrupt"], pair["clean"])[:: 1 if direction == "denoising" else -1]
    plain, cache = model.run(base), model.cache(source)
    for layer in range(model.layers):
        for place, where in places(model, hook, len(base), positions, heads, keys):
            logits = model.run(base, put(hook, layer, where, cache[hook, layer]))
            yield [layer, *place, *measure(logits, plain, base, pair)]


def replacement(model, all_pairs, pair, hook, layer, method):
    """What ablation puts in the place of an activation of a clean prompt."""
    axis = -2  # positions, in [pos, width] and in [head, pos, width]
    if method == "zero":
        return 0.0
    same = [each for each in all_pairs if method == "mean" or len(each["clean"]) == len(pair["clean"])]
    values = [model.cache(each["clean"])[hook, layer] for each in same]
    if method == "mean_per_position":
        return np.mean(values, axis=0)
    return np.concatenate(values, axis).mean(axis, keepdims=True)


def ablation(model, all_pairs, pair, hook, method):
    """Rows [layer, null, head, null, METRICS…] of ablations of one hook at all positions."""
    plain = model.run(pair["clean"])
    for layer in range(model.layers):
        source = replacement(model, all_pairs, pair, hook, layer, method)
        for place, where in places(model, hook, len(pair["clean"]), False, True, False):
            logits = model.run(pair["clean"], put(hook, layer, where, source))
            yield [layer, *place, *measure(logits, plain, pair["clean"], pair)]


def steering(model, all_pairs, pair, coefficient):
    """Rows of the difference of means at the last position, added to the corrupt run after every layer."""
    plain = model.run(pair["corrupt"])
    for layer in range(model.layers):
        sides = ("clean", "corrupt")
        ends = [[model.cache(each[side])["resid_post", layer][-1] for side in sides] for each in all_pairs]
        vector = np.mean([clean - corrupt for clean, corrupt in ends], axis=0)

        def add(name, at, value, layer=layer, vector=vector):
            return value + coefficient * vector if (name, at) == ("resid_post", layer) else value

        yield [layer, None, None, None, *measure(model.run(pair["corrupt"], add), plain, pair["corrupt"], pair)]


def writes(model):
    """Senders: name, hook, layer, head."""
    yield "embed", "embed", None, None
    for layer in range(model.layers):
        for head in range(model.heads):
            yield f"{layer}.{head}", "z", layer, head
        yield f"mlp{layer}", "mlp_out", layer, None


def reads(model):
    """Receivers: name, hook of what it reads, layer, head."""
    for layer in range(model.layers):
        for head in range(model.heads):
            for part in "qkv":
                yield f"{layer}.{head}.{part}", f"{part}_input", layer, head
        yield f"mlp{layer}", "mlp_in", layer, None
    yield "logits", "resid_post", model.layers - 1, None


def edge(model, sender, receiver):
    """Whether the receiver reads what the sender writes: earlier layers, and in a sequential MLP its layer's heads."""
    (_, hook, wrote, _), (_, read, layer, _) = sender, receiver
    if hook == "embed" or read == "resid_post":
        return True
    return wrote < layer or (wrote == layer and hook == "z" and read == "mlp_in" and not model.parallel)


def paths(model, pair):
    """Rows [sender, receiver, logit difference]: noising, with every other component held at the clean run's value."""
    clean, corrupt = model.cache(pair["clean"]), model.cache(pair["corrupt"])
    plain = model.run(pair["clean"])
    for sender in writes(model):
        _, hook, layer, head = sender
        seen = {}

        def frozen(name, at, value):
            if name in ("z", "mlp_out"):
                value = clean[name, at]
            if (name, at) == (hook, layer):
                value = value.copy()
                where = slice(None) if head is None else head
                value[where] = corrupt[name, at][where]
            seen[name, at] = value
            return value

        model.run(pair["clean"], frozen)
        for receiver in reads(model):
            if edge(model, sender, receiver):
                name, read, at, which = receiver
                where = slice(None) if which is None else which
                logits = model.run(pair["clean"], put(read, at, where, seen[read, at]))
                yield [sender[0], name, measure(logits, plain, pair["clean"], pair)[0]]


def normals(seed, index):
    """Standard normal numbers of one pair, by Box and Muller from two words each, as pythia-probes documents them."""
    words = chacha8(struct.pack("<Q", seed) + NOISE, index)
    while True:
        radius, angle = math.sqrt(-2 * math.log((next(words) + 1) / 2**32)), 2 * math.pi * next(words) / 2**32
        yield from (radius * math.cos(angle), radius * math.sin(angle))


def corruption(model, all_pairs, index):
    """Causal tracing's corrupted run (Meng et al. 2022, section 2.1): a hook that adds noise to the embeddings at
    NOISED. Its deviation is three times that of all numbers of these embeddings (over n - 1, as in torch.std)."""
    spans = [sorted({at % len(pair["clean"]) for at in NOISED}) for pair in all_pairs]
    embedded = [model.embed[pair["clean"][at]] for pair, span in zip(all_pairs, spans) for at in span]
    deviation, draws = 3 * np.std(embedded, ddof=1), normals(0, index)
    noise = np.zeros((len(all_pairs[index]["clean"]), model.width))
    for at in spans[index]:
        noise[at] = [deviation * next(draws) for _ in range(model.width)]
    return lambda name, layer, value: value + noise if name == "embed" else value


def tracing(model, all_pairs, index, hook, direction, positions, window):
    """Rows as those of `patching`, between the clean run and the one with noise, a window of layers at a time: those
    of the authors' `trace_with_patch`, max(0, layer - window // 2) up to min(layers, layer - (-window // 2))."""
    pair, noised = all_pairs[index], corruption(model, all_pairs, index)
    tokens = pair["clean"]

    def plain(name, layer, value):
        return value

    base, source = (noised, plain) if direction == "denoising" else (plain, noised)
    logits, cache = model.run(tokens, base), {}

    def keep(name, layer, value):
        cache[name, layer] = value = source(name, layer, value)
        return value

    model.run(tokens, keep)
    for middle in range(model.layers):
        layers = range(max(0, middle - window // 2), min(model.layers, middle - (-window // 2)))
        for place, where in places(model, hook, len(tokens), positions, False, False):

            def patched(name, layer, value):
                value = base(name, layer, value)
                return put(hook, layer, where, cache[name, layer])(name, layer, value) if layer in layers else value

            yield [middle, *place, *measure(model.run(tokens, patched), logits, tokens, pair)]


def compare_with_transformer_lens(name):
    """Logits without an edit, and with the edits of `lens.halve` at one layer."""
    model, values = Model(FIXTURES / name), read_safetensors(FIXTURES / name / "reference.safetensors")
    layer = model.layers - 2

    def halve(hook):
        def edit(at, of, value):
            if (at, of) == (hook, layer):
                value = value.copy()
                value[(1, 3) if value.ndim == 3 else 3] *= 0.5
            return value

        return edit

    runs = {"plain.logits": ()} | {f"edit.blocks.{layer}.{long}": (halve(hook),) for hook, long in NAMES.items()}
    for row, tokens in enumerate(values["tokens.clean"].astype(int)):
        for key, hooks in runs.items():
            error = np.abs(model.run(list(tokens), *hooks) - values[key][row]).max()
            assert error < 1e-12, (name, key, error)


# Writing --------------------------------------------------------------------------------------------------------------

# Hook, direction, positions one by one, heads one by one, keys one by one.
PATCHES = [
    ("resid_pre", "denoising", True, False, False),
    ("resid_mid", "denoising", True, False, False),
    ("attn_out", "denoising", True, False, False),
    ("mlp_out", "denoising", True, False, False),
    ("mlp_post", "noising", False, False, False),
    ("z", "denoising", True, True, False),
    ("z", "noising", False, True, False),
    ("q", "denoising", False, True, False),
    ("k", "denoising", False, True, False),
    ("v", "denoising", True, True, False),
    ("pattern", "denoising", True, True, False),
    ("pattern", "noising", True, True, True),
]
# Hook, direction, positions one by one, layers patched together.
TRACES = [
    ("resid_pre", "denoising", True, 1),
    ("resid_pre", "noising", True, 1),
    ("mlp_out", "denoising", True, 2),
    ("attn_out", "denoising", True, 3),
    ("attn_out", "denoising", False, 10),
]
ABLATIONS = [("z", method) for method in ("zero", "mean", "mean_per_position")]
ABLATIONS += [("attn_out", "zero"), ("mlp_out", "mean"), ("mlp_post", "mean_per_position")]


def reference(name, seed):
    model = Model(FIXTURES / name)
    prompts = pairs(model, seed)

    def rows(of):
        return [[index, *row] for index, pair in enumerate(prompts) for row in of(pair)]

    ends = [
        [measure(model.run(pair[side]), model.run(pair["clean"]), pair[side], pair)[0] for side in ("clean", "corrupt")]
        for pair in prompts
    ]
    patches = [patch for patch in PATCHES if patch[0] != "resid_mid" or not model.parallel]
    keys = ("hook", "direction", "each_position", "each_head", "each_key")
    return {
        "pairs": prompts,
        "clean_corrupt": ends,
        "patching": [
            dict(zip(keys, patch)) | {"rows": rows(lambda pair: patching(model, pair, *patch))} for patch in patches
        ],
        "ablation": [
            {"hook": hook, "method": method, "rows": rows(lambda pair: ablation(model, prompts, pair, hook, method))}
            for hook, method in ABLATIONS
        ],
        "steering": [
            {"coefficient": c, "rows": rows(lambda pair: steering(model, prompts, pair, c))} for c in (1.0, -2.0)
        ],
        "paths": rows(lambda pair: paths(model, pair)),
        "tracing": [
            dict(zip(("hook", "direction", "each_position", "window"), trace))
            | {"rows": [[at, *row] for at in range(len(prompts)) for row in tracing(model, prompts, at, *trace)]}
            for trace in TRACES
        ],
    }


def rounded(value):
    if isinstance(value, float):
        return round(value, 11)
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return {key: rounded(each) for key, each in value.items()} if isinstance(value, dict) else value


def text(value):
    """One row a line."""
    lines = []
    for key, each in value.items():
        lines.append(f"{json.dumps(key)}: " + json.dumps(each, separators=(",", ":")).replace("],[", "],\n["))
    return "{" + ",\n".join(lines) + "}\n"


def main():
    folder = FIXTURES / "causal"
    folder.mkdir(exist_ok=True)
    for seed, name in enumerate(MODELS, 21):
        compare_with_transformer_lens(name)
        made = text(rounded(reference(name, seed)))
        path = folder / f"{name}.json"
        if "--check" in sys.argv:
            assert json.loads(path.read_text()) == json.loads(made), path
        else:
            path.write_text(made)
        print(name, len(made), "bytes")


if __name__ == "__main__":
    main()
