"""Head scores and losses in numpy, float64: one plain loop per definition, slow on purpose, to be checked by eye.

For one prompt, `tokens` is [n] and `pattern` is [layer, head, query, key]; every score is [layer, head]. A score of
several prompts is the mean of theirs.
"""

import numpy as np


def per_query(pattern, keys_of):
    """Mean over the queries that have keys of the total mass on them."""
    sums = [sum(pattern[..., query, key] for key in keys) for query, keys in keys_of if keys]
    return sum(sums) / len(sums)


def per_entry(pattern, keys_of):
    """Mean over all (query, key) entries."""
    entries = [pattern[..., query, key] for query, keys in keys_of for key in keys]
    return sum(entries) / len(entries)


def share(pattern, target):
    """The detector of TransformerLens with `mul`: the share of all attention that lies on the target."""
    return (pattern * target).sum((-1, -2)) / pattern.sum((-1, -2))


def difference(pattern, target):
    """The detector of TransformerLens with `abs`, without its rounding."""
    return 1.0 - np.abs(pattern - target).mean((-1, -2)) * target.shape[0]


def duplicates(tokens):
    """Keys that hold the query's token, before the query."""
    return [(query, [key for key in range(query) if tokens[key] == tokens[query]]) for query in range(len(tokens))]


def successors(tokens):
    """Keys whose left neighbour holds the query's token and stands before the query."""
    return [(query, [key + 1 for key in keys]) for query, keys in duplicates(tokens)]


def repeats(n, start, half):
    """Keys that followed the query's place in the earlier copies of the repeated part, going by place alone."""
    out = []
    for query in range(start + half, n):
        place, copy = (query - start) % half, (query - start) // half
        out.append((query, [start + earlier * half + place + 1 for earlier in range(copy)]))
    return out


def diagonal(n, offset):
    return [(query, [query - offset]) for query in range(offset, n)]


def as_matrix(n, keys_of):
    out = np.zeros((n, n))
    for query, keys in keys_of:
        out[query, keys] = 1.0
    return out


def table(pattern, tokens, bos):
    """Every definition on one prompt that holds a part of `half` tokens twice."""
    n, start = len(tokens), int(bos)
    half = (n - start) // 2
    previous, current, first = diagonal(n, 1), diagonal(n, 0), [(query, [0]) for query in range(n)]
    sink = "bos_sink" if bos else "first_token_sink"
    out = {
        ("induction", "arena_stripe" if bos else "tl_stripe"): per_entry(pattern, diagonal(n, half - 1)),
        ("induction", "prefix_sum"): per_query(pattern, repeats(n, start, half)),
        ("induction", "prefix_mean"): per_entry(pattern, repeats(n, start, half)),
        ("induction", "strict"): per_query(pattern, successors(tokens)),
        ("previous_token", "mask_mean"): per_query(pattern, previous),
        ("duplicate_token", "mask_mean"): per_query(pattern, duplicates(tokens)),
        ("duplicate_token", "stripe"): per_entry(pattern, diagonal(n, half)),
        ("current_token", "mask_mean"): per_query(pattern, current),
        (sink, "mask_mean"): per_query(pattern, first),
    }
    for score, keys_of in (
        ("induction", successors(tokens)),
        ("previous_token", previous),
        ("duplicate_token", duplicates(tokens)),
        ("current_token", current),
        (sink, first),
    ):
        target = as_matrix(n, keys_of)
        out[score, "tl_detect_mul"] = share(pattern, target)
        out[score, "tl_detect_abs"] = difference(pattern, target)
    return out


def uniform(pattern):
    """What a head would do that attends to every earlier position and itself alike."""
    n = pattern.shape[-1]
    row = np.tril(np.ones((n, n))) / np.arange(1, n + 1)[:, None]
    return np.broadcast_to(row, pattern.shape)


def losses(per_token, bos):
    """Metrics of one prompt from the loss of its tokens; per_token[t] is the loss of token t + 1."""
    half = (len(per_token) + 1 - int(bos)) // 2
    first, second = per_token[: len(per_token) - half], per_token[-half:]
    return {
        "loss_first_half": first.mean(),
        "loss_second_half": second.mean(),
        "loss_ratio": second.mean() / first.mean(),
        "tl_induction_loss": second[2:].mean(),
    }


def scores(values):
    """The committed table of one model: prompt -> "score.definition" -> {value, uniform}, and the losses."""
    out = {}
    for prompt, bos in (("repeated", False), ("bos_repeated", True)):
        rows = values[f"tokens.{prompt}"].numpy()
        pattern = values[f"{prompt}.pattern"].numpy()
        real = [table(pattern[:, index], row, bos) for index, row in enumerate(rows)]
        even = [table(uniform(pattern[:, index]), row, bos) for index, row in enumerate(rows)]
        out[prompt] = {"loss": [losses(row, bos) for row in values[f"{prompt}.loss"].numpy()]}
        for score, definition in real[0]:
            value = np.mean([each[score, definition] for each in real], axis=0)
            expected = np.mean([each[score, definition] for each in even], axis=0)
            assert np.ptp(expected) < 1e-15
            out[prompt][f"{score}.{definition}"] = {"value": value.tolist(), "uniform": float(expected[0, 0])}
    return out
