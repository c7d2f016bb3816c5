//! Names of TransformerLens that have no point here, and what to name instead.

use crate::HookError;

/// Name without its block, what it is in TransformerLens, and what is near.
const FOREIGN: &[(&str, &str, &str)] = &[
    ("hook_tokens", TOKENS, TOKENS_NEAR),
    ("embed.hook_in", TOKENS, TOKENS_NEAR),
    ("hook_pos_embed", ANGLES, ANGLES_NEAR),
    ("pos_embed", ANGLES, ANGLES_NEAR),
    ("pos_embed.hook_out", ANGLES, ANGLES_NEAR),
    ("rotary_emb.hook_in", ANGLES, ANGLES_NEAR),
    ("rotary_emb.hook_out", ANGLES, ANGLES_NEAR),
    ("rotary_emb.hook_cos", ANGLES, ANGLES_NEAR),
    ("rotary_emb.hook_sin", ANGLES, ANGLES_NEAR),
    ("attn.hook_cos", ANGLES, ANGLES_NEAR),
    ("attn.hook_sin", ANGLES, ANGLES_NEAR),
    ("hook_unembed", LOGITS, LOGITS_NEAR),
    ("unembed", LOGITS, LOGITS_NEAR),
    ("unembed.hook_out", LOGITS, LOGITS_NEAR),
    ("ln_final.hook_in", "the residual stream that leaves the last block", "name `resid_post.-1`, the same tensor"),
    (
        "ln1.hook_in",
        "the copy of the residual stream that LN1 alone reads",
        "read `hook_resid_pre`, the same numbers; to edit what attention alone reads, name `hook_attn_in`",
    ),
    (
        "attn.q.hook_in",
        PROJECTED,
        "read `ln1.hook_normalized`; to edit what the queries alone read, name `hook_q_input`",
    ),
    ("attn.k.hook_in", PROJECTED, "read `ln1.hook_normalized`; to edit what the keys alone read, name `hook_k_input`"),
    (
        "attn.v.hook_in",
        PROJECTED,
        "read `ln1.hook_normalized`; to edit what the values alone read, name `hook_v_input`",
    ),
    (
        "attn.qkv.hook_out",
        "queries, keys and values in one tensor",
        "name `attn.hook_q`, `attn.hook_k` and `attn.hook_v`",
    ),
    ("mlp.hook_mid", MID, MID_NEAR),
    ("mlp_mid", MID, MID_NEAR),
    ("mid", MID, MID_NEAR),
    ("mlp.hook_pre_linear", GATED, GATED_NEAR),
    ("mlp.gate.hook_in", GATED, GATED_NEAR),
    ("mlp.gate.hook_out", GATED, GATED_NEAR),
    ("pre_linear", GATED, GATED_NEAR),
];

const TOKENS: &str = "the token ids, which are no activation";
const TOKENS_NEAR: &str = "the nearest point is `hook_embed`, their embeddings";
const ANGLES: &str = "the position embedding (the angles of the rotation)";
const ANGLES_NEAR: &str =
    "positions enter by rotation of queries and keys: name `attn.hook_rot_q` or `attn.hook_rot_k`";
const LOGITS: &str = "the logits";
const LOGITS_NEAR: &str = "`pythia activations` writes them as `logits`, and metrics read them; the nearest point is \
                           `ln_final.hook_normalized`, which the unembedding reads";
const PROJECTED: &str = "the copy of LN1's result that one projection alone reads";
const MID: &str = "the neurons between GELU and a layer norm inside the MLP, which GPT-NeoX does not have";
const MID_NEAR: &str = "the nearest point is `mlp.hook_post`";
const GATED: &str = "the linear half of a gated MLP, which GPT-NeoX does not have";
const GATED_NEAR: &str = "the nearest points are `mlp.hook_pre` and `mlp.hook_post`";

/// The error for a name of TransformerLens that is no point here; `text` is the name as given, `name` the same without
/// its layer.
pub(crate) fn explained(text: &str, name: &str) -> Option<HookError> {
    let (_, what, instead) = FOREIGN.iter().find(|(known, _, _)| *known == name)?;
    Some(HookError::Foreign { name: text.to_owned(), what, instead })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ModelShape, SITES, select};

    const MODEL: ModelShape = ModelShape { n_layers: 3, n_heads: 4, d_model: 8, d_head: 2, d_mlp: 32, parallel: true };

    #[test]
    fn names_without_a_point_are_explained_and_what_they_advise_is_accepted() {
        for (name, what, instead) in FOREIGN {
            assert!(SITES.iter().all(|row| row.name != *name && !row.aliases.contains(name)), "{name}");
            for written in [(*name).to_owned(), format!("blocks.1.{name}")] {
                let error = select(&written, &MODEL).expect_err(&written).to_string();
                assert!(error.contains(&format!("`{written}`")) && error.contains(what), "{error}");
            }
            let quoted = instead.split('`').skip(1).step_by(2);
            let advised: Vec<&str> = quoted.filter(|word| !matches!(*word, "pythia activations" | "logits")).collect();
            assert!(!advised.is_empty(), "{name}");
            for point in advised {
                assert!(select(point, &MODEL).is_ok(), "{name}: {point}");
            }
        }
        assert!(select("mid2", &MODEL).expect_err("no such point").to_string().contains("mlp.hook_post"));
    }
}
