//! Whole trainings on a few drawn images.

use std::fs;
use std::path::Path;

use super::*;

fn draw(folder: &Path, name: &str, dark: impl Fn(u32, u32) -> bool) {
    let (width, height) = (48, 48);
    let pixels: Vec<u8> =
        (0..width * height).map(|at| if dark(at % width, at / width) { 0 } else { 255 }).collect();
    let file = fs::File::create(folder.join(name)).unwrap();
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
}

fn images() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    draw(folder.path(), "stripes.png", |x, _| x % 8 < 4);
    draw(folder.path(), "lines.png", |_, y| y % 8 < 4);
    draw(folder.path(), "disc.png", |x, y| (x.abs_diff(24).pow(2) + y.abs_diff(24).pow(2)) < 200);
    folder
}

fn args(input: &Path, output: &Path, id: &str, rate: &str, epochs: &str) -> TrainArgs {
    TrainArgs {
        learning_rate: rate.parse().unwrap(),
        epochs: epochs.parse().unwrap(),
        experiment_id: id.parse().unwrap(),
        input: input.to_owned(),
        output: output.to_owned(),
        end_with_parent: false,
    }
}

/// The losses of a finished training, from its loss.csv.
fn losses(folder: &Path) -> Vec<f64> {
    let text = fs::read_to_string(folder.join("loss.csv")).unwrap();
    text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect()
}

#[test]
fn the_loss_falls_and_every_file_is_there_and_can_be_read() {
    let (input, output) = (images(), tempfile::tempdir().unwrap());
    run(&args(input.path(), output.path(), "run-1", "0.003", "12")).unwrap();
    let folder = output.path().join("run-1");
    let losses = losses(&folder);
    assert_eq!(losses.len(), 13);
    assert!(losses[12] < losses[0] / 2.0, "{losses:?}");

    let result: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("result.json")).unwrap()).unwrap();
    assert_eq!((&result["state"], &result["images"]), (&"succeeded".into(), &3.into()));
    let model = fs::read(folder.join("model.safetensors")).unwrap();
    let model = safetensors::SafeTensors::deserialize(&model).unwrap();
    assert_eq!(model.tensor("layers.0.weight").unwrap().shape(), [4096, 64]);
    assert_eq!(result["parameters"], model.iter().map(|(_, view)| view.data().len() / 4).sum::<usize>());
    let picture = png::Decoder::new(std::io::BufReader::new(
        fs::File::open(folder.join("reconstruction.png")).unwrap(),
    ));
    let picture = picture.read_info().unwrap();
    assert_eq!((picture.info().width, picture.info().height), (3 * 66 - 2, 130));
    let curve = fs::read_to_string(folder.join("loss.svg")).unwrap();
    let points = curve.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(points.split(' ').count(), 13);
    assert_eq!(fs::read_dir(output.path()).unwrap().count(), 1, "nothing but the results is left");
}

#[test]
fn the_same_request_gives_the_same_model_and_another_learning_rate_another_curve() {
    let (input, output) = (images(), tempfile::tempdir().unwrap());
    for (id, rate) in [("a", "0.001"), ("b", "0.001"), ("c", "0.002")] {
        run(&args(input.path(), output.path(), id, rate, "2")).unwrap();
    }
    let read = |id: &str| fs::read(output.path().join(id).join("model.safetensors")).unwrap();
    assert!(read("a") == read("b"));
    assert!(read("a") != read("c"));
    assert_ne!(losses(&output.path().join("a")), losses(&output.path().join("c")));
}

#[test]
fn a_longer_training_is_the_shorter_one_gone_on_with() {
    let (input, output) = (images(), tempfile::tempdir().unwrap());
    run(&args(input.path(), output.path(), "short", "0.001", "1")).unwrap();
    run(&args(input.path(), output.path(), "long", "0.001", "3")).unwrap();
    let (short, long) = (losses(&output.path().join("short")), losses(&output.path().join("long")));
    assert_eq!((short.len(), long.len()), (2, 4));
    assert_eq!(short[..], long[..2]);
}

#[test]
fn a_name_that_has_results_is_refused_and_they_stay_as_they_are() {
    let (input, output) = (images(), tempfile::tempdir().unwrap());
    let folder = output.path().join("run-1");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("loss.csv"), "mine").unwrap();
    let error = run(&args(input.path(), output.path(), "run-1", "0.001", "1")).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert_eq!(fs::read_to_string(folder.join("loss.csv")).unwrap(), "mine");
}

#[test]
fn a_loss_that_diverges_ends_the_training_and_its_curve_is_kept() {
    let (input, output) = (images(), tempfile::tempdir().unwrap());
    let error = run(&args(input.path(), output.path(), "wild", "10", "50")).unwrap_err();
    assert!(matches!(error, TrainError::Diverged { .. }), "{error}");
    assert_eq!(error.exit_code(), 1);
    let result = fs::read_to_string(output.path().join("wild/result.json")).unwrap();
    assert!(result.contains("diverged"));
}

#[test]
fn what_an_attempt_left_that_was_cut_off_is_no_obstacle() {
    let (input, output) = (images(), tempfile::tempdir().unwrap());
    fs::create_dir(output.path().join(".run-1.partial")).unwrap();
    run(&args(input.path(), output.path(), "run-1", "0.001", "1")).unwrap();
    assert_eq!(fs::read_dir(output.path()).unwrap().count(), 1);
}

#[test]
fn an_output_that_cannot_be_written_names_the_user_who_must_be_able_to() {
    let (input, file) = (images(), tempfile::NamedTempFile::new().unwrap());
    let error = run(&args(input.path(), file.path(), "run-1", "0.001", "1")).unwrap_err();
    assert!(error.to_string().contains("must be able to write"), "{error}");
    assert_eq!(error.exit_code(), 3);
}
