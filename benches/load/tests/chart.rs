use crate::axis::{Axis, Scale};
use crate::chart::{Bars, Chart, Line, Point, file};

fn chart(name: &str) -> Chart {
    let points: Vec<Point> = [(0.0, 1.0), (5.0, 3.0), (10.0, 2.0)]
        .map(|(x, y)| Point::new(x, y))
        .to_vec();
    Chart {
        title: "a < b & c".to_owned(),
        x_label: "seconds".to_owned(),
        x: Axis::around(Scale::Linear, points.iter().map(|point| point.x)),
        y: Axis::around(Scale::Linear, points.iter().map(|point| point.y)),
        lines: vec![Line {
            name: name.to_owned(),
            points,
        }],
    }
}

/// Whether every element that is opened is closed, in order.
fn is_well_formed(svg: &str) -> bool {
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let Some((tag, _)) = tag.split_once('>') else {
            return false;
        };
        let name = tag.split([' ', '/']).next().unwrap_or_default();
        if let Some(closed) = tag.strip_prefix('/') {
            if open.pop() != Some(closed) {
                return false;
            }
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    open.is_empty()
}

#[test]
fn a_chart_stands_alone_and_is_well_formed() {
    let svg = file(&chart("p99 <all>").svg());
    assert!(is_well_formed(&svg), "{svg}");
    assert!(svg.contains("a &lt; b &amp; c") && !svg.contains("<all>"));
    assert!(svg.contains("prefers-color-scheme: dark"));
    assert_eq!(svg.matches("<circle").count(), 3);
}

#[test]
fn a_line_rises_where_its_values_do() {
    let svg = chart("line").svg();
    // Of ten seconds and three units: the middle point is half way, and at the top.
    assert!(svg.contains("L380.0 58.0"), "{svg}");
}

#[test]
fn bars_are_as_long_as_their_values() {
    let bar = |name: &str, y| {
        (
            name.to_owned(),
            Point {
                x: 0.0,
                y,
                range: Some((y, y)),
            },
        )
    };
    let bars = Bars {
        title: "ns".to_owned(),
        rows: vec![bar("ours", 100.0), bar("theirs", 400.0)],
        digits: 0,
    };
    let svg = bars.svg();
    assert!(is_well_formed(&svg), "{svg}");
    assert!(
        svg.contains(r#"width="119.0""#) && svg.contains(r#"width="476.0""#),
        "{svg}"
    );
}
