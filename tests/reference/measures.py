"""Head scores and losses in numpy, float64, one plain loop per definition: slow on purpose, so that it is easy to check by eye.

`tokens` is [batch, n], `pattern` is [layer, batch, head, query, key]; every score is [layer, head].
"""

import math

import numpy as np


def successors(row, query):
    """Positions right after an earlier occurrence of the token at `query`; the query itself may be one of them."""
    return [key + 1 for key in range(query) if row[key] == row[query]]


def over_pairs(pattern, tokens, weight):
    """Mean over all (example, query) with an earlier occurrence of `weight(attention row, successor positions)`."""
    layers, batch, heads = pattern.shape[:3]
    out = np.zeros((layers, heads))
    count = 0
    for example in range(batch):
        for query in range(tokens.shape[1]):
            keys = successors(tokens[example], query)
            if not keys:
                continue
            count += 1
            for layer in range(layers):
                for head in range(heads):
                    out[layer, head] += weight(pattern[layer, example, head, query], keys)
    return out / count


def strict(pattern, tokens):
    """Total mass on all successor positions."""
    return over_pairs(pattern, tokens, lambda row, keys: sum(row[key] for key in keys))


def prefix_sum(pattern, tokens):
    """Sum over the successor positions of one query, then the mean over queries."""
    return over_pairs(pattern, tokens, lambda row, keys: math.fsum(row[keys]))


def prefix_mean(pattern, tokens):
    """Mean over the successor positions of one query, then the mean over queries."""
    return over_pairs(pattern, tokens, lambda row, keys: math.fsum(row[keys]) / len(keys))


def stripe(pattern, offset):
    """Mean over examples and over the diagonal key = query - offset."""
    size = pattern.shape[-1]
    entries = [pattern[:, :, :, query, query - offset] for query in range(offset, size)]
    return np.mean(np.stack(entries), axis=(0, 2))


def column(pattern, key):
    """Mean mass on one key position, over examples and all queries."""
    return pattern[..., key].mean(axis=(1, 3))


def detection(tokens, kind):
    """The 0/1 target of TransformerLens' detectors for one row of tokens."""
    size = len(tokens)
    out = np.zeros((size, size))
    for query in range(size):
        for key in range(query + 1):
            if kind == "previous":
                out[query, key] = key == query - 1
            elif kind == "duplicate":
                out[query, key] = key < query and tokens[key] == tokens[query]
            elif key > 0:
                out[query, key] = tokens[key - 1] == tokens[query]
    return out


def detect(pattern, tokens, kind, measure):
    """The detector's score without its options, and without the rounding of `abs`; [layer, head] for one example."""
    target = detection(tokens, kind)
    if measure == "mul":
        return (pattern * target).sum((-1, -2)) / pattern.sum((-1, -2))
    return 1.0 - np.abs(pattern - target).mean((-1, -2)) * len(tokens)


def uniform(pattern):
    """What a head would do that attends to every earlier position and itself alike."""
    size = pattern.shape[-1]
    row = np.tril(np.ones((size, size))) / np.arange(1, size + 1)[:, None]
    return np.broadcast_to(row, pattern.shape).copy()


def table(pattern, tokens, half, bos):
    """Every definition on one kind of prompt."""
    out = {
        "strict": strict(pattern, tokens),
        "prefix_sum": prefix_sum(pattern, tokens),
        "prefix_mean": prefix_mean(pattern, tokens),
        "arena_stripe" if bos else "tl_stripe": stripe(pattern, half - 1),
        "previous_stripe": stripe(pattern, 1),
        "duplicate_stripe": stripe(pattern, half),
        "current_stripe": stripe(pattern, 0),
        "sink": column(pattern, 0),
    }
    for kind in ("previous", "duplicate", "induction"):
        for measure in ("mul", "abs"):
            each = [detect(pattern[:, example], row, kind, measure) for example, row in enumerate(tokens)]
            out[f"{kind}_{measure}"] = np.mean(each, axis=0)
    return out


def losses(per_token, half, bos):
    """Mean loss of the tokens of the first and of the second half; per_token[t] is the loss of token t + 1."""
    first = half if bos else half - 1
    return {"first_half": per_token[:, :first].mean(), "second_half": per_token[:, first : first + half].mean()}


def scores(values):
    """The committed table of one model: prompt -> definition -> {value, null}."""
    out = {}
    for prompt, bos in (("repeated", False), ("bos_repeated", True)):
        tokens = values[f"tokens.{prompt}"].numpy()
        pattern = values[f"{prompt}.pattern"].numpy()
        half = tokens.shape[1] // 2
        real, null = table(pattern, tokens, half, bos), table(uniform(pattern), tokens, half, bos)
        out[prompt] = {name: {"value": real[name].tolist(), "null": float(null[name][0, 0])} for name in real}
        out[prompt]["loss"] = losses(values[f"{prompt}.loss"].numpy(), half, bos)
    return out
