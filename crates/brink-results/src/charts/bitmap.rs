//! A figure as pixels: its SVG, drawn by `resvg` with a font that is part of the program.
//!
//! The same picture on every machine, whatever fonts it has. Must not draw anything itself.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};
use thiserror::Error;

/// Latin, Greek, Cyrillic and punctuation of Roboto Regular, Apache-2.0: see the folder's README.
const FONT: &[u8] = include_bytes!("font/roboto-regular-subset.ttf");
const FONT_NAME: &str = "Roboto";
/// Pixels for each one of the SVG: sharp on slides and dense screens.
const SCALE: f32 = 2.0;

/// Why a figure could not be made into pixels.
#[derive(Debug, Error)]
pub enum BitmapError {
    /// The SVG could not be read.
    #[error("the plot cannot be drawn: {0}")]
    Svg(String),
    /// It is too large, or empty.
    #[error("the plot cannot be drawn: {width} by {height} pixels")]
    Size {
        /// Across.
        width: u32,
        /// Down.
        height: u32,
    },
    /// The pixels could not be written as PNG.
    #[error("the plot cannot be encoded: {0}")]
    Encode(String),
}

/// The PNG of an SVG file.
///
/// # Errors
/// [`BitmapError`].
pub(super) fn png(svg: &str) -> Result<Vec<u8>, BitmapError> {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family(FONT_NAME);
    let options =
        Options { fontdb: Arc::new(fonts), font_family: FONT_NAME.to_owned(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|error| BitmapError::Svg(error.to_string()))?;
    let size = tree.size().to_int_size().scale_by(SCALE);
    let (width, height) = size.map_or((0, 0), |size| (size.width(), size.height()));
    let mut pixels = Pixmap::new(width, height).ok_or(BitmapError::Size { width, height })?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| BitmapError::Encode(error.to_string()))
}
