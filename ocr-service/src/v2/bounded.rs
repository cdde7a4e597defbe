//! Lists of a request that are counted while they are read: an entry of two bytes takes many times that in memory, so a
//! body within its limit could fill far more than is reserved for it.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

use super::wire::Parameters;

/// Inputs or outputs: the model has one input and four outputs.
pub const MOST_TENSORS: usize = 16;
/// Dimensions of a shape: as many as numpy has.
pub const MOST_DIMENSIONS: usize = 64;
/// Parameters of one object: the model has a handful, others are other people's.
pub const MOST_PARAMETERS: usize = 64;

/// A list of `MOST` items at most.
pub fn list<'de, D, Item, const MOST: usize>(from: D) -> Result<Vec<Item>, D::Error>
where
    D: Deserializer<'de>,
    Item: Deserialize<'de>,
{
    List::<Item, MOST>::deserialize(from).map(|list| list.0)
}

/// As [`list`], or null.
pub fn optional_list<'de, D, Item, const MOST: usize>(from: D) -> Result<Option<Vec<Item>>, D::Error>
where
    D: Deserializer<'de>,
    Item: Deserialize<'de>,
{
    Option::<List<Item, MOST>>::deserialize(from).map(|list| list.map(|list| list.0))
}

/// Parameters, which are strings, numbers and booleans, [`MOST_PARAMETERS`] of them at most; or null.
pub fn parameters<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Parameters>, D::Error> {
    Option::<Flat>::deserialize(from).map(|flat| flat.map(|flat| flat.0))
}

struct List<Item, const MOST: usize>(Vec<Item>);

impl<'de, Item: Deserialize<'de>, const MOST: usize> Deserialize<'de> for List<Item, MOST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(ListVisitor(PhantomData))
    }
}

struct ListVisitor<Item, const MOST: usize>(PhantomData<Item>);

impl<'de, Item: Deserialize<'de>, const MOST: usize> Visitor<'de> for ListVisitor<Item, MOST> {
    type Value = List<Item, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MOST}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            if items.len() == MOST {
                return Err(A::Error::custom(format_args!("a list has more than {MOST} entries")));
            }
            items.push(item);
        }
        Ok(List(items))
    }
}

struct Flat(Parameters);

impl<'de> Deserialize<'de> for Flat {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(FlatVisitor)
    }
}

struct FlatVisitor;

impl<'de> Visitor<'de> for FlatVisitor {
    type Value = Flat;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of parameters")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Flat, A::Error> {
        let mut parameters = Parameters::new();
        while let Some((name, Scalar(value))) = map.next_entry()? {
            if parameters.len() == MOST_PARAMETERS {
                return Err(A::Error::custom(format_args!(
                    "there are more than {MOST_PARAMETERS} parameters"
                )));
            }
            parameters.insert(name, value);
        }
        Ok(Flat(parameters))
    }
}

/// A value that holds no others.
struct Scalar(Value);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a number or a boolean")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar(Number::from_f64(value).map_or(Value::Null, Value::Number)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar(value.into()))
    }

    /// Passed over like one that is not there, or refused where it is an option.
    fn visit_unit<E: Error>(self) -> Result<Scalar, E> {
        Ok(Scalar(Value::Null))
    }
}
