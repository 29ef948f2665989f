//! Curves as SVG, small and without anything from outside.

use std::fmt::Write as _;

/// A plot of curves.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// What is shown, upwards.
    pub title: String,
    /// What it is shown against.
    pub x: String,
    /// The curves.
    pub curves: Vec<Curve>,
}

/// One curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// What it is.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 200.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 40.0;
/// Colours that stay apart for those who see few. Source: Okabe and Ito, "Color Universal Design" (2008).
const COLOURS: [&str; 8] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999",
];

impl Plot {
    /// The plot as an SVG document.
    pub fn svg(&self) -> String {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let (x_least, x_most) = span(points().map(|point| point.0), false);
        let (y_least, y_most) = span(points().map(|point| point.1), true);
        let place = |(x, y): (f64, f64)| {
            let across = (x - x_least) / (x_most - x_least);
            let up = (y - y_least) / (y_most - y_least);
            (
                LEFT + across * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM),
            )
        };
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
             <text x=\"{LEFT}\" y=\"18\" font-weight=\"bold\">{}</text>\n",
            escape(&self.title)
        );
        for tick in ticks(y_least, y_most) {
            let (left, y) = place((x_least, tick));
            let (right, _) = place((x_most, tick));
            line(&mut svg, (left, y), (right, y), "#dddddd");
            text(&mut svg, (left - 6.0, y + 4.0), "end", &number(tick));
        }
        for tick in ticks(x_least, x_most) {
            let (x, bottom) = place((tick, y_least));
            line(&mut svg, (x, bottom), (x, bottom + 4.0), "#000000");
            text(&mut svg, (x, bottom + 18.0), "middle", &number(tick));
        }
        let middle = f64::midpoint(place((x_least, y_least)).0, place((x_most, y_least)).0);
        text(&mut svg, (middle, HEIGHT - 6.0), "middle", &self.x);
        for (at, curve) in self.curves.iter().enumerate() {
            let colour = COLOURS[at % COLOURS.len()];
            let placed: Vec<(f64, f64)> = curve.points.iter().map(|point| place(*point)).collect();
            let path: Vec<String> = placed
                .iter()
                .map(|(x, y)| format!("{x:.1},{y:.1}"))
                .collect();
            let path = path.join(" ");
            writeln!(
                svg,
                "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            )
            .expect("a string takes all");
            for (x, y) in placed {
                writeln!(
                    svg,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
                )
                .expect("a string takes all");
            }
            #[expect(clippy::cast_precision_loss, reason = "curves are few")]
            let y = TOP + 8.0 + 18.0 * at as f64;
            let x = WIDTH - RIGHT + 14.0;
            writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>",
                y - 9.0
            )
            .expect("a string takes all");
            text(&mut svg, (x + 16.0, y), "start", &curve.name);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// The least and the most of some values, never the same; from 0 if wished.
fn span(values: impl Iterator<Item = f64>, from_zero: bool) -> (f64, f64) {
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.filter(|value| value.is_finite()) {
        least = least.min(value);
        most = most.max(value);
    }
    if from_zero {
        least = least.min(0.0);
    }
    if least > most {
        return (0.0, 1.0);
    }
    if (most - least).abs() < f64::EPSILON {
        most = least + 1.0;
    }
    (least, most)
}

/// Round numbers between two, some five of them.
fn ticks(least: f64, most: f64) -> Vec<f64> {
    let rough = (most - least) / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough)
        .unwrap_or(rough);
    let mut ticks = Vec::new();
    let mut tick = (least / step).ceil() * step;
    while tick <= most + step * 1e-9 && ticks.len() < 20 {
        ticks.push(tick);
        tick += step;
    }
    ticks
}

fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str) {
    writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>"
    )
    .expect("a string takes all");
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
        escape(words)
    )
    .expect("a string takes all");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_is_well_formed_and_shows_every_point() {
        let curve = |name: &str, points: &[(f64, f64)]| Curve {
            name: name.to_owned(),
            points: points.to_vec(),
        };
        let plot = Plot {
            title: "a < b & c".to_owned(),
            x: "TTL".to_owned(),
            curves: vec![
                curve("one", &[(1.0, 0.0), (2.0, 50.0), (3.0, 100.0)]),
                curve("two", &[(2.0, 7.0)]),
            ],
        };
        let svg = plot.svg();
        let mut reader = quick_xml::Reader::from_str(&svg);
        let mut circles = 0;
        loop {
            match reader.read_event().unwrap() {
                quick_xml::events::Event::Eof => break,
                quick_xml::events::Event::Empty(tag) if tag.name().as_ref() == "circle" => {
                    circles += 1;
                }
                _ => {}
            }
        }
        assert_eq!(circles, 4);
        assert!(svg.contains("a &lt; b &amp; c") && svg.contains(">40<") && svg.contains(">100<"));
    }

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(ticks(0.0, 100.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(ticks(5.0, 8.0), [5.0, 6.0, 7.0, 8.0]);
        assert_eq!(number(2.50), "2.5");
    }
}
