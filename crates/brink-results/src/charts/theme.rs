//! Colours of charts: placeholders while drawing, then CSS variables or fixed values.
//!
//! The SVG writer knows only RGB, so roles are drawn in colours that nothing else uses. Must not draw.

use plotters::style::RGBColor;

use crate::charts::stroke::Pattern;

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
/// Where something gave way.
pub const BAD: Role = role(3, "--bad", "#b3261e", "#ff8a80");
/// Series: the hues of Okabe and Ito (Color Universal Design) without yellow and black, with wine and olive of Paul
/// Tol's muted scheme, moved as little as it takes to stand out from the paper (3 to 1, WCAG 2.2, 1.4.11) and from one another
/// for the usual kinds of colour blindness: a test reckons both. More series than colours are told apart by
/// `stroke`'s markers and dashes.
pub const SERIES: [Role; 8] = [
    role(10, "--s0", "#0670af", "#5f9fe1"),
    role(11, "--s1", "#cc520a", "#ee7a07"),
    role(12, "--s2", "#009d6d", "#20c78e"),
    role(13, "--s3", "#cc76aa", "#f79bc2"),
    role(14, "--s4", "#e47300", "#f9ca2b"),
    role(15, "--s5", "#8d87e1", "#8fd0f5"),
    role(16, "--s6", "#882459", "#cc73a5"),
    role(17, "--s7", "#686f5d", "#bfbb4f"),
];
/// What is written and drawn on: light, dark.
pub const PAPER: [&str; 2] = ["#ffffff", "#14171a"];
/// Size of text in a panel, of its title, and the font.
const FONT: &str = "font-family=\"sans-serif\" font-size=\"13\"";

fn roles() -> impl Iterator<Item = Role> {
    [INK, MUTED, GRID, BAD].into_iter().chain(SERIES)
}

/// Declarations of all variables, for a style sheet.
#[must_use]
pub fn variables(dark: bool) -> String {
    roles().map(|r| format!("{}:{};", r.variable, if dark { r.dark } else { r.light })).collect()
}

/// What was drawn as a part of an HTML page: no namespace, colours by variable, nothing that is said twice.
#[must_use]
pub fn inline(drawn: &str, title: &str, (width, height): (u32, u32)) -> String {
    let body = recolour(compact(body(drawn)), |role| format!("var({})", role.variable)).replace('\n', "");
    format!(
        "<svg class=\"chart\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {width} {height}\" {FONT} fill=\"none\">{body}</svg>\n",
        escape(title)
    )
}

/// Something that is drawn, and the place of its upper left corner.
pub(super) struct Placed {
    pub drawn: String,
    pub at: (u32, u32),
}

/// Drawn parts as one SVG file on white.
#[must_use]
pub(super) fn standalone(parts: &[Placed], title: &str, (width, height): (u32, u32)) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" {FONT} fill=\"none\">\n<title>{}</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"{}\"/>\n",
        escape(title),
        PAPER[0],
    );
    for Placed { drawn, at: (x, y) } in parts {
        let body = recolour(compact(body(drawn)), |role| role.light.to_owned());
        out.push_str(&format!("<g transform=\"translate({x} {y})\">\n{body}</g>\n"));
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

/// The same picture in fewer bytes: without what SVG takes for granted or the outermost element says, and with broken
/// lines as such.
fn compact(body: &str) -> String {
    const SAID: [(&str, &str); 12] = [
        (" opacity=\"1\"", ""),
        (" fill=\"none\"", ""),
        (" font-family=\"sans-serif\"", ""),
        // The writer divides sizes by 1.24, which does not come out even.
        (" font-size=\"13.000000000000002\"", ""),
        ("15.000000000000002", "15"),
        (" text-anchor=\"start\"", ""),
        (" stroke=\"none\" stroke-width=\"1\"", ""),
        (" stroke=\"none\" stroke-width=\"2\"", ""),
        (" stroke=\"none\"", ""),
        (" stroke-width=\"1\"", ""),
        (" \"/>", "\"/>"),
        ("\n</text>", "</text>"),
    ];
    let mut text = SAID.iter().fold(body.to_owned(), |text, (from, to)| text.replace(from, to));
    for pattern in Pattern::ALL {
        let Some(dashes) = pattern.dashes() else { continue };
        for width in [1, 2] {
            let drawn = format!("stroke-width=\"{}\"", pattern.placeholder_width(width));
            let real = format!("stroke-width=\"{width}\" stroke-dasharray=\"{dashes}\"");
            text = text.replace(&drawn, &real);
        }
    }
    // What stands in an element of text begins on a line of its own.
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let opens = line.starts_with("<text") && line.ends_with(">\n") && !line.contains("</text>");
        out.push_str(if opens { line.trim_end_matches('\n') } else { line });
    }
    out
}

fn recolour(body: String, to: impl Fn(Role) -> String) -> String {
    roles().fold(body, |text, role| {
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
        let drawn = "<svg a=\"b\">\n<line stroke=\"#01FE00\" stroke-width=\"912\"/><text x=\"1\" opacity=\"1\" fill=\"#01FE0B\">\nx\n</text></svg>\n";
        let page = inline(drawn, "a < b", (440, 300));
        assert!(page.contains("<text x=\"1\" fill=\"var(--s1)\">x</text>"), "{page}");
        assert!(page.contains("stroke=\"var(--ink)\" stroke-width=\"2\" stroke-dasharray=\"6 4\""), "{page}");
        assert!(page.contains("aria-label=\"a &lt; b\"") && !page.contains("xmlns"), "{page}");
        let placed = [(0, 0), (440, 0)].map(|at| Placed { drawn: drawn.to_owned(), at });
        let file = standalone(&placed, "t", (880, 300));
        assert!(file.contains("stroke=\"#1b1f23\"") && file.contains("translate(440 0)"), "{file}");
        assert_eq!(file.matches("<svg").count(), 1);
    }

    #[test]
    fn no_two_roles_share_a_placeholder() {
        let mut seen: Vec<u8> = roles().map(|r| r.placeholder.2).collect();
        seen.dedup();
        assert_eq!(seen.len(), roles().count());
    }

    type Triple = [f64; 3];

    /// Of `#rrggbb`, red, green and blue as light, from 0 to 1: IEC 61966-2-1.
    fn light(hex: &str) -> Triple {
        [1, 3, 5].map(|at| {
            let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        })
    }

    /// WCAG 2.2, contrast ratio.
    fn contrast(a: &str, b: &str) -> f64 {
        let luminance =
            |hex| light(hex).iter().zip([0.2126, 0.7152, 0.0722]).map(|(v, w)| v * w).sum::<f64>();
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    fn times(matrix: &[Triple; 3], v: Triple) -> Triple {
        matrix.map(|row| row.iter().zip(v).map(|(m, v)| m * v).sum())
    }

    /// What eyes see whose sense of red, of green or of blue is missing: Machado, Oliveira and Fernandes, A
    /// Physiologically-based Model for Simulation of Color Vision Deficiency (2009), severity 1.0. The first: all senses.
    const EYES: [(&str, [Triple; 3]); 4] = [
        ("normal", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        (
            "protanopia",
            [
                [0.152_286, 1.052_583, -0.204_868],
                [0.114_503, 0.786_281, 0.099_216],
                [-0.003_882, -0.048_116, 1.051_998],
            ],
        ),
        (
            "deuteranopia",
            [
                [0.367_322, 0.860_646, -0.227_968],
                [0.280_085, 0.672_501, 0.047_413],
                [-0.011_820, 0.042_940, 0.968_881],
            ],
        ),
        (
            "tritanopia",
            [
                [1.255_528, -0.076_749, -0.178_779],
                [-0.078_411, 0.930_809, 0.147_602],
                [0.004_733, 0.691_367, 0.303_900],
            ],
        ),
    ];

    /// Ottosson, A perceptual color space for image processing (2020): distances in it are those seen.
    fn oklab(light: Triple) -> Triple {
        const TO_LMS: [Triple; 3] = [
            [0.412_221_47, 0.536_332_54, 0.051_445_99],
            [0.211_903_5, 0.680_699_55, 0.107_396_96],
            [0.088_302_46, 0.281_718_84, 0.629_978_7],
        ];
        const TO_LAB: [Triple; 3] = [
            [0.210_454_26, 0.793_617_79, -0.004_072_05],
            [1.977_998_5, -2.428_592_2, 0.450_593_71],
            [0.025_904_04, 0.782_771_77, -0.808_675_77],
        ];
        times(&TO_LAB, times(&TO_LMS, light.map(|v| v.clamp(0.0, 1.0))).map(f64::cbrt))
    }

    #[test]
    fn colours_stand_out_from_the_paper() {
        for role in roles().filter(|role| *role != GRID) {
            let is_text = [INK, MUTED, BAD].contains(&role);
            let least = if is_text { 4.5 } else { 3.0 };
            for (colour, paper) in [(role.light, PAPER[0]), (role.dark, PAPER[1])] {
                let is = contrast(colour, paper);
                assert!(is >= least, "{} {colour} on {paper}: {is:.2}", role.variable);
            }
        }
    }

    #[test]
    fn series_differ_for_the_colour_blind() {
        for pick in [|role: Role| role.light, |role: Role| role.dark] {
            for (eyes, matrix) in EYES {
                let seen = SERIES.map(|role| oklab(times(&matrix, light(pick(role)))));
                for (i, a) in seen.iter().enumerate() {
                    for (j, b) in seen[..i].iter().enumerate() {
                        let apart = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                        assert!(apart > 0.07, "series {i} and {j}, {eyes}: {apart:.3}");
                    }
                }
            }
        }
    }
}
