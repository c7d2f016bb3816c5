//! A site at a layer, and its text form.

use std::fmt;

use crate::Site;

/// A hook point: a [`Site`], and the layer if the site belongs to a block.
///
/// Points order as they fire ([`firing_order`](Self::firing_order)). The text form is TransformerLens' full 2.x name:
///
/// ```
/// use pythia_hooks::{HookPoint, Site};
/// let point: HookPoint = "blocks.3.attn.hook_z".parse()?;
/// assert_eq!(point, Site::Z.at(3));
/// assert_eq!(point.to_string(), "blocks.3.attn.hook_z");
/// # Ok::<(), pythia_hooks::HookError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HookPoint {
    layer: Option<usize>,
    site: Site,
}

impl Site {
    /// This site in block `layer`; a global site has no layer and ignores it.
    pub const fn at(self, layer: usize) -> HookPoint {
        let layer = if self.is_global() { None } else { Some(layer) };
        HookPoint { layer, site: self }
    }
}

impl HookPoint {
    /// What is computed there, at whichever layer.
    pub const fn site(self) -> Site {
        self.site
    }

    /// The block, counted from 0; `None` for the embedding and the final layer norm.
    pub const fn layer(self) -> Option<usize> {
        self.layer
    }

    /// A key that sorts points in the order of the forward pass: the embedding, then each block's sites, then the
    /// final layer norm. Only comparisons of whole keys have a meaning.
    pub const fn firing_order(self) -> (usize, usize) {
        let stage = match (self.site, self.layer) {
            (Site::Embed, _) => 0,
            (_, Some(layer)) => layer + 1,
            (_, None) => usize::MAX,
        };
        (stage, self.site.firing_order())
    }
}

/// The order of the forward pass, as in [`HookPoint::firing_order`].
impl Ord for HookPoint {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.firing_order().cmp(&other.firing_order())
    }
}

impl PartialOrd for HookPoint {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layer {
            Some(layer) => write!(f, "blocks.{layer}.{}", self.site.name()),
            None => f.write_str(self.site.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SITES;

    #[test]
    fn every_name_round_trips() {
        for row in SITES {
            for layer in [0, 7, 35] {
                let point = row.site.at(layer);
                assert_eq!(point.to_string().parse::<HookPoint>().unwrap(), point);
            }
        }
    }

    #[test]
    fn points_order_as_they_fire() {
        let mut points =
            [Site::FinalScale.at(0), Site::ResidPre.at(1), Site::ResidPost.at(0), Site::Embed.at(0), Site::Q.at(0)];
        points.sort();
        let names: Vec<String> = points.iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            [
                "hook_embed",
                "blocks.0.attn.hook_q",
                "blocks.0.hook_resid_post",
                "blocks.1.hook_resid_pre",
                "ln_final.hook_scale"
            ]
        );
    }

    #[test]
    fn a_typo_is_an_error_with_the_nearest_name() {
        let error = "blocks.0.attn.hook_patern".parse::<HookPoint>().unwrap_err();
        assert!(error.to_string().contains("blocks.0.attn.hook_pattern"), "{error}");
        for bad in
            ["", "blocks.", "blocks.x.hook_resid_pre", "blocks.0.hook_embed", "hook_resid_pre", "blocks.-1.attn.hook_z"]
        {
            assert!(bad.parse::<HookPoint>().is_err(), "{bad}");
        }
    }
}
