//! Preparation of real pictures.

use super::*;

fn picture(name: &str) -> Picture {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    Picture::decode(&std::fs::read(path).unwrap()).unwrap()
}

fn prepared(name: &str) -> Prepared {
    prepare(picture(name), None, Preparation::On, &|| false)
}

#[test]
fn a_named_segmentation_is_done_on_the_whole_picture_as_it_was_sent() {
    let sent = picture("letter.jpg");
    let (pointer, whole) = (sent.as_ptr(), sent.whole());
    let prepared = prepare(sent, Some("11".parse().unwrap()), Preparation::On, &|| false);
    assert_eq!(prepared.picture.as_ptr(), pointer);
    assert_eq!(prepared.regions, [Region { rect: whole, segmentation: "11".parse().unwrap() }]);
}

#[test]
fn without_preparation_tesseract_finds_the_layout() {
    let prepared = prepare(picture("letter.jpg"), None, Preparation::Off, &|| false);
    assert_eq!(prepared.regions.len(), 1);
    assert_eq!(prepared.regions[0].segmentation, Segmentation::AUTO);
}

#[test]
fn a_label_is_cut_into_bands_that_lie_below_one_another() {
    let regions = prepared("nutrition-label.png").regions;
    assert!(regions.len() >= 2, "{regions:?}");
    for pair in regions.windows(2) {
        assert_eq!(pair[0].rect.y + pair[0].rect.height, pair[1].rect.y, "{regions:?}");
    }
}

#[test]
fn the_same_picture_is_prepared_the_same_each_time() {
    let (one, two) = (prepared("letter.jpg"), prepared("letter.jpg"));
    assert_eq!(one.regions, two.regions);
    assert_eq!(one.picture.histogram(), two.picture.histogram());
}

#[test]
fn the_whole_of_a_prepared_picture_is_the_whole_of_the_sent_one() {
    let (sent, prepared) = (picture("nutrition-label.png").whole(), prepared("nutrition-label.png"));
    assert_eq!(prepared.to_sent(prepared.picture.whole()), sent);
}

#[test]
fn a_turned_pictures_box_is_found_again_in_the_sent_one() {
    let sent = picture("nutrition-label.png").grey().unwrap();
    let (width, height) = (sent.width(), sent.height());
    let blank = sent.painted(&[sent.whole()], 255).unwrap();
    let mark = Rect { x: 100, y: 200, width: 30, height: 20 };
    let turned = blank.painted(&[mark], 0).unwrap().turned(0.05).unwrap();
    let ink = turned.ink(128);
    let found = ink.trim(&ink.whole()).unwrap();
    let number = |side: usize| u32::try_from(side).unwrap();
    let rect = Rect {
        x: number(found.x.start),
        y: number(found.y.start),
        width: number(found.x.len()),
        height: number(found.y.len()),
    };
    let prepared = (turned.width(), turned.height());
    let geometry = Geometry { scale: 1.0, radians: 0.05, sent: (width, height), prepared };
    let back = geometry.to_sent(rect);
    assert!(back.x.abs_diff(mark.x) <= 4 && back.y.abs_diff(mark.y) <= 4, "{back:?}");
    assert!(back.width >= mark.width && back.width <= mark.width + 8, "{back:?}");
}

#[test]
fn a_blank_page_and_a_dark_photograph_are_left_alone() {
    let sent = picture("nutrition-label.png").grey().unwrap();
    for level in [0, 128, 255] {
        let blank = sent.painted(&[sent.whole()], level).unwrap();
        let prepared = prepare(blank, None, Preparation::On, &|| false);
        assert_eq!(prepared.regions.len(), 1);
        assert_eq!(prepared.regions[0].segmentation, Segmentation::AUTO);
    }
}

#[test]
fn light_text_on_a_dark_page_is_prepared_as_dark_text_on_a_light_one() {
    let light = picture("nutrition-label.png").grey().unwrap().inverted().unwrap();
    assert_eq!(
        prepare(light, None, Preparation::On, &|| false).regions,
        prepared("nutrition-label.png").regions
    );
}

#[test]
fn a_frame_around_the_page_changes_no_line() {
    let sent = picture("nutrition-label.png").grey().unwrap();
    let side = |x, y, width, height| Rect { x, y, width, height };
    let frame = [side(20, 20, 860, 3), side(20, 1070, 860, 3), side(20, 20, 3, 1050), side(877, 20, 3, 1050)];
    let framed = prepare(sent.painted(&frame, 0).unwrap(), None, Preparation::On, &|| false);
    assert_eq!(framed.regions.len(), prepared("nutrition-label.png").regions.len(), "{:?}", framed.regions);
}

#[test]
fn a_page_with_a_dark_bar_is_left_to_tesseract() {
    let sent = picture("nutrition-label.png").grey().unwrap();
    let bar = Rect { x: 0, y: 900, width: 900, height: 90 };
    let prepared = prepare(sent.painted(&[bar], 60).unwrap(), None, Preparation::On, &|| false);
    assert_eq!(prepared.regions[0].segmentation, Segmentation::AUTO);
}
