//! Kubernetes' quantities, as far as processors and memory are written in them.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// In thousandths; 0 where it is none.
pub fn milli(quantity: Option<&Quantity>) -> u64 {
    whole(parse(quantity).unwrap_or_default() * 1000.0)
}

/// In MiB; 0 where it is none.
pub fn mib(quantity: Option<&Quantity>) -> u64 {
    whole(parse(quantity).unwrap_or_default() / 1_048_576.0)
}

fn parse(quantity: Option<&Quantity>) -> Option<f64> {
    let text = quantity?.0.trim();
    let end = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    // `e3` and `E3` are exponents; none is written for what is read here.
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "kept within the range of the type"
)]
fn whole(value: f64) -> u64 {
    value.round().clamp(0.0, 1e15) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_and_memory_are_read_as_kubernetes_writes_them() {
        let of = |text: &str| Some(Quantity(text.into()));
        let cpus = ["250m", "2", "0.5", "1500000000n", "nonsense"].map(|text| milli(of(text).as_ref()));
        assert_eq!(cpus, [250, 2000, 500, 1500, 0]);
        let memory = ["256Mi", "1Gi", "16393244Ki", "1048576", "128M"].map(|text| mib(of(text).as_ref()));
        assert_eq!(memory, [256, 1024, 16009, 1, 122]);
        assert_eq!((milli(None), mib(None)), (0, 0));
    }
}
