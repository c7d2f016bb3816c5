//! Grids as indexed PNG images inside a `data:` address: one pixel for each cell.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes as text.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The address of an image of `width` × `height` indices into `palette` (three bytes a colour). Indices beyond the
/// palette and images without a pixel cannot be drawn: there is no address then.
pub(crate) fn image(width: usize, height: usize, indices: &[u8], palette: &[u8]) -> Option<String> {
    let colors = palette.len() / 3;
    let drawable = width > 0 && indices.len() == width.checked_mul(height)?;
    if !drawable || indices.is_empty() || indices.iter().any(|index| usize::from(*index) >= colors) {
        return None;
    }
    let depth = if colors <= 16 { png::BitDepth::Four } else { png::BitDepth::Eight };
    let bytes = encode(width, height, &packed(indices, width, depth), palette, depth).ok()?;
    Some(format!("data:image/png;base64,{}", base64(&bytes)))
}

fn encode(
    width: usize,
    height: usize,
    rows: &[u8],
    palette: &[u8],
    depth: png::BitDepth,
) -> Result<Vec<u8>, png::EncodingError> {
    let side = |length: usize| u32::try_from(length).map_err(|_| png::EncodingError::LimitsExceeded);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side(width)?, side(height)?);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(depth);
    encoder.set_palette(palette);
    encoder.set_compression(png::Compression::High);
    // Filters assume that neighbouring pixels have similar values. Indices do not, and filters make such images larger.
    encoder.set_filter(png::Filter::NoFilter);
    encoder.write_header()?.write_image_data(rows)?;
    Ok(bytes)
}

/// Two indices to the byte where 16 colours suffice; each row begins with a byte of its own.
fn packed(indices: &[u8], width: usize, depth: png::BitDepth) -> Vec<u8> {
    if depth == png::BitDepth::Eight {
        return indices.to_vec();
    }
    let pair = |pair: &[u8]| pair[0] << 4 | pair.get(1).copied().unwrap_or(0);
    indices.chunks(width).flat_map(|row| row.chunks(2).map(pair)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(address: &str) -> (u32, u32, Vec<u8>) {
        let bytes = STANDARD.decode(address.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        pixels.truncate(frame.buffer_size());
        (frame.width, frame.height, pixels)
    }

    #[test]
    fn an_image_holds_its_indices() {
        let palette: Vec<u8> = (0..=255).flat_map(|value| [value, 0, 255 - value]).collect();
        let address = image(3, 2, &[0, 1, 255, 7, 8, 9], &palette).unwrap();
        assert_eq!(decoded(&address), (3, 2, vec![0, 1, 255, 7, 8, 9]));
    }

    #[test]
    fn a_small_palette_packs_two_to_the_byte() {
        let address = image(3, 2, &[0, 1, 15, 7, 8, 9], &[0; 48]).unwrap();
        assert_eq!(decoded(&address), (3, 2, vec![0x01, 0xf0, 0x78, 0x90]));
    }

    #[test]
    fn what_cannot_be_drawn_has_no_address() {
        let palette = [0; 768];
        assert_eq!(image(0, 0, &[], &palette), None);
        assert_eq!(image(2, 2, &[1], &palette), None);
        assert_eq!(image(1, 1, &[16], &[0; 48]), None);
    }
}
