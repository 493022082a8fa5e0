//! The report for people: one file, all in it, a chart for each row.

use std::fmt::Write;

use super::goals::{self, Outcome};
use super::machine::WARNING;
use super::samples::{quantile, Row, Samples, Spread};
use super::table::short;

const STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h2 { font-size: 1.05rem; margin: 2.5rem 0 .3rem } .id { color: #888; font-weight: normal }
pre, td, svg text { font-variant-numeric: tabular-nums } pre { background: #f5f5f5; padding: 1rem; overflow: auto }
table { border-collapse: collapse; font-size: .9rem } td, th { padding: .15rem .8rem .15rem 0; text-align: right }
td:first-child, th:first-child { text-align: left } .bad { color: #b00020 } .good { color: #1b6e3c }
.close { color: #a35200 }
svg { width: 100%; height: auto } svg text { font: 12px system-ui, sans-serif; fill: #444 }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } pre { background: #242424 }
  svg text { fill: #bbb } .bad { color: #ff8a80 } .good { color: #81c995 } .close { color: #ffb74d } }
";

const INTRODUCTION: &str = "
<p>Engines take turns in short batches, all within one process or in processes that wait for their turns. What counts
is the ratio to mio <em>within one round</em>: a dot for each round, a box from the lower to the upper quartile of
them, a bar at their median. Left is cheaper; each step of the scale is a factor of two. The dashed line is what
wakeful is to cost at most. \"system calls\" is a program that calls the kernel itself: the limit.</p>
<p>In the charts: <span style=color:#d9480f>&#9632; wakeful</span>, <span style=color:#1971c2>&#9632; the others</span>,
<span style=color:#2b8a3e>&#9482; the goal</span>. A title in the summary leads to its chart.</p>
";

pub fn page(samples: &Samples, about: &str) -> String {
    let mut page =
        String::from("<!doctype html><html lang=en><meta charset=utf-8><title>wakeful: speed</title>");
    let _ = write!(page, "<style>{STYLE}</style><h1>wakeful beside its peers</h1>{INTRODUCTION}");
    let _ = write!(page, "<pre>{}</pre>", escape(about));
    for warning in about.lines().filter_map(|line| line.strip_prefix(WARNING)) {
        let _ = write!(page, "<p class=close><strong>{}</strong></p>", escape(warning.trim()));
    }
    summary(samples, &mut page);
    for row in &samples.rows {
        let (title, id) = (escape(&row.title), escape(&row.id));
        let _ = write!(page, "<h2 id=\"{id}\">{title} <span class=id>{id}</span></h2>");
        chart(row, &mut page);
        numbers(row, &mut page);
    }
    page
}

/// What the summary has beside wakeful, as ratios to mio too.
const PEERS: [&str; 5] = ["system calls", "poll(2)", "polling", "libuv", "libevent"];

/// The promises, and what has become of them.
fn summary(samples: &Samples, page: &mut String) {
    page.push_str("<table><tr><th>promise<th>at most<th>measured<th>");
    PEERS.iter().for_each(|peer| page.push_str(&format!("<th>{peer}")));
    let median = |row: &Row, engine: &str| {
        let ratio = row.engine(engine).and_then(|engine| Spread::of(&row.ratios(engine)));
        ratio.map_or(String::new(), |ratio| short(ratio.median))
    };
    for row in &samples.rows {
        if let Some(verdict) = goals::verdict(row) {
            let class = match verdict.outcome {
                Outcome::Met => "good",
                Outcome::Barely | Outcome::Nearly | Outcome::Unclear => "close",
                Outcome::Missed => "bad",
            };
            let (title, goal, word) = (escape(&row.title), short(verdict.goal), verdict.outcome.word());
            let own = short(verdict.measured);
            let id = escape(&row.id);
            let _ = write!(
                page,
                "<tr><td><a href=\"#{id}\">{title}</a><td>{goal}<td>{own}<td class={class}>{word}"
            );
            PEERS.iter().for_each(|peer| page.push_str(&format!("<td>{}", median(row, peer))));
        }
    }
    page.push_str("</table>");
}

fn numbers(row: &Row, page: &mut String) {
    let unit = if row.unit.is_empty() { String::new() } else { format!(", {}", escape(&row.unit)) };
    let _ = write!(page, "<table><tr><th>engine<th>median{unit}<th>ratio<th>quartiles");
    for engine in &row.engines {
        let value = Spread::of(&engine.values).map_or(String::new(), |value| short(value.median));
        let _ = write!(page, "<tr><td>{}<td>{value}", escape(&engine.name));
        if let Some(ratio) = Spread::of(&row.ratios(engine)) {
            let (median, low, high) = (short(ratio.median), short(ratio.low), short(ratio.high));
            let _ = write!(page, "<td>{median}<td>{low} to {high}");
        }
    }
    page.push_str("</table>");
}

const WIDTH: f64 = 900.0;
const LEFT: f64 = 150.0;
const LINE: f64 = 26.0;

/// Where a ratio stands: equal factors are equal distances.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn of(row: &Row) -> Scale {
        let (mut low, mut high): (f64, f64) = (0.5, 2.0);
        for engine in &row.engines {
            let mut ratios = row.ratios(engine);
            ratios.sort_by(f64::total_cmp);
            // Single stray rounds would squeeze all the others.
            low = low.min(quantile(&ratios, 0.05).unwrap_or(low));
            high = high.max(quantile(&ratios, 0.95).unwrap_or(high));
        }
        if let Some(goal) = goals::goal(row) {
            low = low.min(goal);
        }
        Scale { low: low.max(1e-4).log2().floor(), high: high.log2().ceil() }
    }

    fn x(&self, ratio: f64) -> f64 {
        let part = (ratio.max(1e-6).log2() - self.low) / (self.high - self.low);
        LEFT + part.clamp(0.0, 1.0) * (WIDTH - LEFT - 20.0)
    }
}

fn chart(row: &Row, page: &mut String) {
    let scale = Scale::of(row);
    let height = LINE * (row.engines.len() as f64 + 1.0);
    let _ = write!(page, "<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=img>");
    for power in scale.low as i32..=scale.high as i32 {
        let (ratio, x) = (2f64.powi(power), scale.x(2f64.powi(power)));
        let shade = if power == 0 { "#888" } else { "#8883" };
        let bottom = height - LINE + 4.0;
        let _ = write!(page, "<path d=\"M{x:.1} 0V{bottom:.1}\" stroke=\"{shade}\"/>");
        let _ =
            write!(page, "<text x={x:.1} y={:.1} text-anchor=middle>{}</text>", height - 6.0, short(ratio));
    }
    for (index, engine) in row.engines.iter().enumerate() {
        let middle = LINE * (index as f64 + 0.5);
        let colour = if engine.name.contains("wakeful") { "#d9480f" } else { "#1971c2" };
        let _ = write!(page, "<text x=0 y={:.1}>{}</text>", middle + 4.0, escape(&engine.name));
        let ratios = row.ratios(engine);
        for (round, &ratio) in ratios.iter().enumerate() {
            // Apart from each other in the height, by the round: always the same picture of the same numbers.
            let y = middle + ((round * 7) % 15) as f64 - 7.0;
            let x = scale.x(ratio);
            let _ = write!(page, "<circle cx={x:.1} cy={y:.1} r=1.6 fill=\"{colour}\" opacity=.3 />");
        }
        if let Some(Spread { low, median, high }) = Spread::of(&ratios) {
            let (low, median, high, top) = (scale.x(low), scale.x(median), scale.x(high), middle - 9.0);
            let width = high - low;
            let _ = write!(
                page,
                "<rect x={low:.1} y={top:.1} width={width:.1} height=18 fill=none stroke=\"{colour}\"/>\
                 <path d=\"M{median:.1} {top:.1}v18\" stroke=\"{colour}\" stroke-width=3 />"
            );
        }
    }
    if let Some(goal) = goals::goal(row) {
        let (x, bottom) = (scale.x(goal), height - LINE);
        let _ = write!(page, "<path d=\"M{x:.1} 0V{bottom:.1}\" stroke=\"#2b8a3e\" stroke-dasharray=4 />");
    }
    page.push_str("</svg>");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_of(values: [&str; 3], about: &str) -> String {
        let mut csv = String::from("row,w4-drain-1x64,ns,Echo\n");
        for (round, value) in values.iter().enumerate() {
            let _ = write!(csv, "w4-drain-1x64,mio,{round},1\nw4-drain-1x64,wakeful,{round},{value}\n");
        }
        page(&Samples::parse(&csv).unwrap(), about)
    }

    #[test]
    fn close_calls_are_amber() {
        for (values, cell) in [
            (["0.5", "0.5", "0.5"], "<td class=good>met"),
            (["0.90", "0.92", "0.98"], "<td class=close>barely met"),
            (["0.90", "0.94", "0.98"], "<td class=close>nearly met"),
            (["0.1", "1.75", "3"], "<td class=close>unclear"),
            (["2", "2", "2"], "<td class=bad>not met"),
        ] {
            assert!(page_of(values, "").contains(cell), "{values:?}: {cell}");
        }
    }

    #[test]
    fn a_warning_about_the_machine_stands_by_the_figures() {
        let page = page_of(["1", "1", "1"], "kernel       Linux\nwarning      the machine was <busy>\n");
        assert!(page.contains("<p class=close><strong>the machine was &lt;busy&gt;</strong>"), "{page}");
        assert!(!page_of(["1", "1", "1"], "kernel       Linux\n").contains("<p class=close>"));
    }
}
