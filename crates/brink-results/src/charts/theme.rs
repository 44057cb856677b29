//! Colours of charts: placeholders while drawing, then CSS variables or fixed values.
//!
//! The SVG writer knows only RGB, so roles are drawn in colours that nothing else uses. Must not draw.

use plotters::style::RGBColor;

use crate::charts::panel::WIDTH;

/// A role: its placeholder, its CSS variable, its value on white and on dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Role {
    /// Drawn first, replaced afterwards.
    pub placeholder: RGBColor,
    /// In a page.
    pub variable: &'static str,
    /// On a light page, and in a file.
    pub light: &'static str,
    /// On a dark page.
    pub dark: &'static str,
}

const fn role(number: u8, variable: &'static str, light: &'static str, dark: &'static str) -> Role {
    Role { placeholder: RGBColor(1, 254, number), variable, light, dark }
}

/// Text and axes.
pub const INK: Role = role(0, "--ink", "#1b1f23", "#e6e8ea");
/// Lesser text.
pub const MUTED: Role = role(1, "--muted", "#59636e", "#9aa4ae");
/// Grid lines.
pub const GRID: Role = role(2, "--grid", "#dfe3e7", "#31373d");
/// Series: the palette of Okabe and Ito (Color Universal Design), which the usual kinds of colour
/// blindness tell apart; its yellow and black are left out, wine and olive of Paul Tol's muted scheme are added, dark
/// pages get lighter ones. More series than colours are told apart by `panel`'s markers and dashes.
pub const SERIES: [Role; 8] = [
    role(10, "--s0", "#0072b2", "#56a8e0"),
    role(11, "--s1", "#d55e00", "#f08a3c"),
    role(12, "--s2", "#009e73", "#2fc79b"),
    role(13, "--s3", "#cc79a7", "#e29cc3"),
    role(14, "--s4", "#e69f00", "#f2b93b"),
    role(15, "--s5", "#56b4e9", "#8fd0f5"),
    role(16, "--s6", "#882255", "#d277a8"),
    role(17, "--s7", "#7a7a1f", "#bcbc4d"),
];

fn roles() -> impl Iterator<Item = Role> {
    [INK, MUTED, GRID].into_iter().chain(SERIES)
}

/// Declarations of all variables, for a style sheet.
#[must_use]
pub fn variables(dark: bool) -> String {
    roles().map(|r| format!("{}:{};", r.variable, if dark { r.dark } else { r.light })).collect()
}

/// A drawn panel as a part of an HTML page: no size, no namespace, colours by variable.
#[must_use]
pub fn inline(drawn: &str, title: &str, height: u32) -> String {
    let body = body(drawn);
    let body = recolour(body, |role| format!("var({})", role.variable));
    format!(
        "<svg class=\"chart\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {WIDTH} {height}\">{body}</svg>\n",
        escape(title)
    )
}

/// Drawn panels in a row, the highest of this height, as one SVG file on white.
#[must_use]
pub fn standalone(drawn: &[String], title: &str, height: u32) -> String {
    let width = WIDTH * drawn.len().max(1) as u32;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n<title>{}</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n",
        escape(title)
    );
    for (i, panel) in drawn.iter().enumerate() {
        let x = WIDTH * i as u32;
        let body = recolour(body(panel), |role| role.light.to_owned());
        out.push_str(&format!("<g transform=\"translate({x} 0)\">\n{body}</g>\n"));
    }
    out.push_str("</svg>\n");
    out
}

/// What is inside the outermost element.
fn body(drawn: &str) -> &str {
    let start = drawn.find('>').map_or(0, |at| at + 1);
    let end = drawn.rfind("</svg>").unwrap_or(drawn.len());
    drawn.get(start..end).unwrap_or("").trim_start()
}

fn recolour(body: &str, to: impl Fn(Role) -> String) -> String {
    roles().fold(body.to_owned(), |text, role| {
        let RGBColor(r, g, b) = role.placeholder;
        text.replace(&format!("\"#{r:02X}{g:02X}{b:02X}\""), &format!("\"{}\"", to(role)))
    })
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_become_variables_or_values() {
        let drawn = "<svg a=\"b\">\n<line stroke=\"#01FE00\"/><text fill=\"#01FE0B\">x</text></svg>\n";
        let page = inline(drawn, "a < b", 340);
        assert!(page.contains("stroke=\"var(--ink)\"") && page.contains("fill=\"var(--s1)\""), "{page}");
        assert!(page.contains("aria-label=\"a &lt; b\"") && !page.contains("xmlns"), "{page}");
        let file = standalone(&[drawn.to_owned(), drawn.to_owned()], "t", 340);
        assert!(file.contains("stroke=\"#1b1f23\"") && file.contains("translate(480 0)"), "{file}");
        assert_eq!(file.matches("<svg").count(), 1);
    }

    #[test]
    fn no_two_roles_share_a_placeholder() {
        let mut seen: Vec<u8> = roles().map(|r| r.placeholder.2).collect();
        seen.dedup();
        assert_eq!(seen.len(), roles().count());
    }
}
