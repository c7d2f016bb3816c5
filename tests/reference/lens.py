"""Reference values from TransformerLens 2.18: `HookedTransformer` in float64, on given parameters."""

import logging
import types

import torch
import transformers
from transformer_lens import HookedTransformer, HookedTransformerConfig, head_detector
from transformer_lens.pretrained.weight_conversions import convert_neox_weights

import draws

HEADS = ("previous_token_head", "duplicate_token_head", "induction_head")
# Points that TransformerLens makes only on request and that hold nothing but copies.
COPIES = ("hook_attn_in", "hook_q_input", "hook_k_input", "hook_v_input")


def hub_model(shape, state):
    """`GPTNeoXForCausalLM` in float64 with exactly the values of `state`."""
    spelled = transformers.GPTNeoXConfig(
        vocab_size=shape.vocab, hidden_size=shape.width,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        intermediate_size=shape.mlp, hidden_act="gelu", rotary_pct=shape.rotary_pct, rotary_emb_base=shape.rotary_base,
        max_position_embeddings=shape.context, layer_norm_eps=shape.eps, use_parallel_residual=shape.parallel,
        tie_word_embeddings=shape.tied, attention_bias=shape.bias, attn_implementation="eager",
    )  # fmt: skip
    model = transformers.GPTNeoXForCausalLM(spelled).double().eval()
    missing, unexpected = model.load_state_dict({k: v.double() for k, v in state.items()}, strict=False)
    assert not unexpected and set(missing) <= {"embed_out.weight"}, (missing, unexpected)
    return model


def lens_model(shape, state, folded=False):
    """The same parameters in TransformerLens, unprocessed or with its four default folds."""
    config = HookedTransformerConfig(
        n_layers=shape.layers, d_model=shape.width, n_heads=shape.heads, d_head=shape.head_width, d_mlp=shape.mlp,
        d_vocab=shape.vocab, n_ctx=shape.context, act_fn="gelu", eps=shape.eps, normalization_type="LN",
        positional_embedding_type="rotary", rotary_dim=shape.rotary_dims, rotary_base=shape.rotary_base,
        rotary_adjacent_pairs=False, parallel_attn_mlp=shape.parallel, device="cpu", dtype=torch.float64,
        default_prepend_bos=False, model_name="tiny", original_architecture="GPTNeoXForCausalLM",
    )  # fmt: skip
    logging.disable(logging.WARNING)
    model = HookedTransformer(config, move_to_device=False)
    hub = hub_model(shape, state)
    if not shape.bias:  # the converter expects biases, zeros are the same model
        for layer in hub.gpt_neox.layers:
            layer.attention.query_key_value.bias = torch.nn.Parameter(torch.zeros(3 * shape.width, dtype=torch.float64))
            layer.attention.dense.bias = torch.nn.Parameter(torch.zeros(shape.width, dtype=torch.float64))
    model.load_and_process_state_dict(
        convert_neox_weights(hub, config), fold_ln=folded, center_writing_weights=folded, center_unembed=folded,
        fold_value_biases=folded, refactor_factored_attn_matrices=False,
    )  # fmt: skip
    return model.eval()


def prompts(shape):
    """Random tokens, and the prompts of a probe: a random half twice, without and with the BOS (0) in front."""
    rng = torch.Generator().manual_seed(1000 + shape.seed)
    clean = torch.randint(0, shape.vocab, (2, 7), generator=rng)
    half = torch.tensor([draws.half(shape.seed, prompt, 6, shape.vocab) for prompt in range(2)])
    repeated = torch.cat([half, half], 1)
    with_bos = torch.cat([torch.zeros(2, 1, dtype=torch.long), repeated], 1)
    return {"tokens.clean": clean, "tokens.repeated": repeated, "tokens.bos_repeated": with_bos}


@torch.no_grad()
def reference(shape, state):
    """Every reference tensor of one model, by key."""
    out = prompts(shape)
    plain = lens_model(shape, state)
    plain.set_use_attn_result(True)
    plain.set_use_hook_mlp_in(True)
    out |= activations("plain", plain, out["tokens.clean"])
    out["plain.loss"] = plain(out["tokens.clean"], return_type="loss", loss_per_token=True)
    agree = (hub_model(shape, state)(out["tokens.clean"]).logits - out["plain.logits"]).abs().max().item()
    assert agree < 1e-5, agree  # transformers rounds its rotary angles to float32 even here
    out |= edits(plain, out["tokens.clean"])
    for prompt in ("repeated", "bos_repeated"):
        out[f"{prompt}.loss"] = plain(out[f"tokens.{prompt}"], return_type="loss", loss_per_token=True)
        out[f"{prompt}.pattern"] = patterns(plain, out[f"tokens.{prompt}"])
    out |= detectors(plain, out["tokens.bos_repeated"][:1])
    out |= activations("folded", lens_model(shape, state, folded=True), out["tokens.clean"])
    return {key: tensor.detach().contiguous().clone() for key, tensor in out.items()}


def activations(prefix, model, tokens):
    """Logits and everything that fires."""
    logits, cache = model.run_with_cache(tokens)
    return {f"{prefix}.logits": logits} | {f"{prefix}.acts.{name}": tensor for name, tensor in cache.items()}


def edits(model, tokens):
    """Logits after halving position 3 (and head 1 alone where the tensor has heads) at each point of one layer."""
    layer, out = model.cfg.n_layers - 2, {}
    for switch in ("set_use_attn_in", "set_use_split_qkv_input"):
        getattr(model, switch)(True)
        names = [n for n in model.hook_dict if n.startswith(f"blocks.{layer}.") and fires(model, n)]
        if switch == "set_use_split_qkv_input":
            names = [n for n in names if n.endswith("_input")]
        else:
            names = [n for n in names if not n.endswith("_input")]
        for name in names:
            # LayerNorm points fire once for each of q, k and v and gain a head axis while the inputs are split.
            if ".ln1." in name:
                continue
            logits = model.run_with_hooks(tokens, fwd_hooks=[(name, halve)])
            out[f"edit.{name}"] = logits
        getattr(model, switch)(False)
    for part in ("hook_scale", "hook_normalized"):
        name = f"blocks.{layer}.ln1.{part}"
        out[f"edit.{name}"] = model.run_with_hooks(tokens, fwd_hooks=[(name, halve)])
    for name in ("hook_embed", "ln_final.hook_scale", "ln_final.hook_normalized"):
        out[f"edit.{name}"] = model.run_with_hooks(tokens, fwd_hooks=[(name, halve)])
    return out


def fires(model, name):
    """Whether a registered point is reached with the switches as they stand."""
    seen = []
    model.run_with_hooks(torch.zeros(1, 2, dtype=torch.long), fwd_hooks=[(name, lambda x, hook: seen.append(1))])
    return bool(seen)


def halve(tensor, hook):
    tensor = tensor.clone()
    if hook.name.endswith(("hook_pattern", "hook_attn_scores")):
        tensor[:, 1, 3] *= 0.5
    elif tensor.ndim == 4:
        tensor[:, 3, 1] *= 0.5
    else:
        tensor[:, 3] *= 0.5
    return tensor


def patterns(model, tokens):
    """Attention patterns of all layers, [layer, batch, head, query, key]."""
    _, cache = model.run_with_cache(tokens)
    return torch.stack([cache["pattern", layer] for layer in range(model.cfg.n_layers)])


def detectors(model, tokens):
    """`detect_head` under every option, [layer, head]; the `abs` scores are rounded to three decimals by its code."""
    out, to_tokens = {}, model.to_tokens
    model.to_tokens = lambda given, *args, **kwargs: given
    for head in HEADS:
        for measure in ("mul", "abs"):
            for bos in (False, True):
                for current in (False, True):
                    out[f"detect.{head}.{measure}.bos{int(bos)}.cur{int(current)}"] = head_detector.detect_head(
                        model, tokens, head, error_measure=measure, exclude_bos=bos, exclude_current_token=current
                    )
    model.to_tokens = to_tokens
    return out


def hook_names(shape, state):
    """Every point that fires with all switches on, in firing order and once each: (name, shape) pairs."""
    model, seen = lens_model(shape, state), {}
    model.set_use_attn_result(True)
    model.set_use_hook_mlp_in(True)
    for switch in ("set_use_attn_in", "set_use_split_qkv_input"):
        getattr(model, switch)(True)
    tokens = torch.zeros(2, 5, dtype=torch.long)

    def note(tensor, hook):
        seen.setdefault(hook.name, list(tensor.shape))

    model.run_with_hooks(tokens, fwd_hooks=[(lambda name: True, note)])
    return [types.SimpleNamespace(name=name, shape=size) for name, size in seen.items()]
