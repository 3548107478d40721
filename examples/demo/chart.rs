//! The chart of a day, as SVG.

use crate::day::{Day, JOBS, Measured, thousands};

const WIDTH: u32 = 720;
/// Where the bars begin, and how long the longest is.
const LEFT: u32 = 140;
const BAR_MAX: f64 = 400.0;

/// One group of bars: what is compared.
struct Group {
    title: String,
    bars: [Bar; 2],
}

struct Bar {
    length: f64,
    /// In bold; `tests/guide.rs` compares it with the tables.
    figure: String,
    rest: String,
}

pub fn draw(day: &Day) -> String {
    let groups = groups(day);
    let height = 78 * groups.len() + 20;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\" role=\"img\" \
         aria-label=\"{JOBS} CI jobs without larder and with it: minutes in pip, requests to GitLab, wheels from GitLab\">\n  \
         <!-- Made by examples/demo; tests/guide.rs compares the figures with README and benchmarks.md. -->\n  \
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for (at, group) in groups.iter().enumerate() {
        let top = 78 * at + 28;
        svg += &format!(
            "  <text x=\"16\" y=\"{top}\" font-weight=\"600\">{}</text>\n",
            group.title
        );
        let longest = group.bars[0].length.max(group.bars[1].length);
        for (row, (bar, name)) in group
            .bars
            .iter()
            .zip(["without larder", "with larder"])
            .enumerate()
        {
            svg += &draw_bar(bar, name, longest, top + 22 * (row + 1));
        }
    }
    svg + "</svg>\n"
}

fn groups(day: &Day) -> [Group; 3] {
    let of = |bar: fn(&Measured) -> Bar| [bar(&day.without), bar(&day.with)];
    [
        Group {
            title: format!(
                "{JOBS} CI jobs wait for pip, which needs {} s a job with no network at all",
                day.alone.seconds()
            ),
            bars: of(|half| Bar {
                length: half.all().as_secs_f64(),
                figure: half.minutes(),
                rest: format!(" minutes, {} s a job", half.seconds()),
            }),
        },
        Group {
            title: "GitLab is asked".to_owned(),
            bars: of(|half| Bar {
                length: half.requests as f64,
                figure: thousands(half.requests),
                rest: " requests".to_owned(),
            }),
        },
        Group {
            title: "and sends".to_owned(),
            bars: of(|half| Bar {
                length: half.files.bytes as f64,
                figure: half.files.transfers.to_string(),
                rest: format!(" wheels, {} MB", half.files.bytes.div_ceil(1_000_000)),
            }),
        },
    ]
}

fn draw_bar(bar: &Bar, name: &str, longest: f64, baseline: usize) -> String {
    let length = (bar.length / longest * BAR_MAX).round().max(2.0);
    let colour = if name == "with larder" {
        "#2f7d5b"
    } else {
        "#8a8f98"
    };
    let after = f64::from(LEFT) + length + 8.0;
    format!(
        "  <text x=\"16\" y=\"{baseline}\">{name}</text>\n  \
         <rect x=\"{LEFT}\" y=\"{}\" width=\"{length}\" height=\"16\" rx=\"2\" fill=\"{colour}\"/>\n  \
         <text x=\"{after}\" y=\"{baseline}\"><tspan font-weight=\"600\">{}</tspan><tspan fill=\"#666\">{}</tspan></text>\n",
        baseline - 12,
        bar.figure,
        bar.rest
    )
}
