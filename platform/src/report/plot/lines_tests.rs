//! Curves as they are drawn.

use super::*;
use crate::report::plot::Clock;

const RANGE: Range = Range { start: 0.0, end: 60.0, step: 15.0, clock: Clock::Utc };

fn curve(values: &[Option<f64>]) -> Curve {
    Curve { name: "a".into(), values: values.to_vec() }
}

#[test]
fn samples_stand_at_their_step_and_gaps_stay_open() {
    assert_eq!(steps(&[(0.0, 1.0), (45.0, 4.0)], RANGE), [Some(1.0), None, None, Some(4.0), None]);
    let scale = Scale::around(0.0, 4.0, (Some(0.0), None), 1000.0);
    let points = plain(&curve(&[Some(0.0), Some(4.0), None, Some(2.0), None]));
    let text = drawing(&points, 0, RANGE, &scale, false);
    assert_eq!(text, r#"<path class="line c1" d="M0 1000L250 0M750 500h.1"/>"#);
}

#[test]
fn stacked_curves_stand_on_one_another() {
    let (one, two) = (curve(&[Some(1.0), Some(2.0)]), curve(&[Some(3.0), None]));
    let below = stack(&[one, two.clone()]);
    assert_eq!(below, [vec![0.0, 0.0], vec![1.0, 2.0], vec![4.0, 2.0]]);
    assert_eq!(sums(&below[1], &below[2], &two), [Some((1.0, 4.0)), None]);
}

#[test]
fn names_of_series_cannot_break_the_page() {
    let mut evil = curve(&[Some(1.0)]);
    evil.name = "</script><b>".into();
    assert!(!told(&[evil.clone()], RANGE, "s").contains("</script><"));
    assert!(legend(&[evil], "s").contains("&lt;&#x2f;script&gt;&lt;b&gt;"));
}
