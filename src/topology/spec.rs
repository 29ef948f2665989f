//! A topology in one word: `ring:12`, `grid:8x8`, `rr:n=64,k=4`.

use super::TopologyError;
use super::names::nearest;
use super::shapes::Kind;
use super::types::{Generate, Topology};

/// Examples of every shape, for error texts and help.
const EXAMPLES: &str = "ring:12, line:5, star:20, tree:b=3,d=4, grid:8x8, complete:8, rr:n=64,k=4, er:n=64,p=0.06, \
                        ba:n=64,m=2, ws:n=64,k=4,p=0.1, two-tier:u=8,d=4,leaves=40";

/// Reads a topology of one shape from a short text. Values may be given by name in any order, in the order of
/// the keys, or as `WxH`.
///
/// # Errors
/// What is wrong, with examples.
pub fn parse_spec(text: &str, seed: u64) -> Result<Topology, TopologyError> {
    let fault = |message: String| TopologyError::new(text, message);
    let (word, rest) = text.split_once(':').unwrap_or((text, ""));
    let Some((_, kind)) = Kind::words().find(|(known, _)| *known == word) else {
        return Err(fault(
            match nearest(word, Kind::words().map(|(known, _)| known)) {
                Some(near) => format!("unknown shape {word:?}; did you mean {near:?}?"),
                None => format!("unknown shape {word:?}; try one of {EXAMPLES}"),
            },
        ));
    };
    let keys = kind.keys();
    let mut values = vec![None; keys.len()];
    let parts = if kind == Kind::Grid {
        rest.replace('x', ",")
    } else {
        rest.to_owned()
    };
    for (position, part) in parts.split(',').filter(|part| !part.is_empty()).enumerate() {
        let (at, number) = match part.split_once('=') {
            None => (Some(position), part),
            Some((key, number)) => (keys.iter().position(|known| *known == key.trim()), number),
        };
        let Some(slot) = at.and_then(|at| values.get_mut(at)) else {
            return Err(fault(format!(
                "{part:?} is not known here; {word} takes {}",
                keys.join(", ")
            )));
        };
        let Ok(number) = number.trim().parse::<f64>() else {
            return Err(fault(format!("{number:?} is not a number")));
        };
        if slot.replace(number).is_some() {
            return Err(fault(format!("{part:?} gives a value a second time")));
        }
    }
    for (value, key) in values.iter_mut().zip(keys) {
        *value = value.or(kind.fallback(key));
    }
    if let Some(missing) = values.iter().position(Option::is_none) {
        return Err(fault(format!(
            "the value of {} is missing; try one of {EXAMPLES}",
            keys[missing]
        )));
    }
    let values: Vec<f64> = values.into_iter().flatten().collect();
    let shape = kind.shape(&values).map_err(fault)?;
    let name = text.replace([':', ',', '='], "-");
    Ok(Topology {
        name,
        seed,
        generate: vec![Generate {
            shape,
            prefix: "n".to_owned(),
            role: None,
        }],
        ..Topology::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Shape;

    fn shape(text: &str) -> Shape {
        parse_spec(text, 1).unwrap().generate[0].shape
    }

    #[test]
    fn every_example_is_read() {
        assert_eq!(shape("ring:12"), Shape::Ring { n: 12 });
        assert_eq!(shape("line:5"), Shape::Line { n: 5 });
        assert_eq!(shape("star:20"), Shape::Star { n: 20 });
        assert_eq!(shape("tree:b=3,d=4"), Shape::Tree { b: 3, d: 4 });
        assert_eq!(shape("grid:8x6"), Shape::Grid { w: 8, h: 6 });
        assert_eq!(shape("complete:8"), Shape::Complete { n: 8 });
        assert_eq!(shape("rr:k=4,n=64"), Shape::RandomRegular { n: 64, k: 4 });
        assert_eq!(
            shape("er:n=64,p=0.06"),
            Shape::ErdosRenyi { n: 64, p: 0.06 }
        );
        assert_eq!(shape("ba:64,2"), Shape::BarabasiAlbert { n: 64, m: 2 });
        assert_eq!(
            shape("watts-strogatz:n=64,k=4,p=0.1"),
            Shape::WattsStrogatz {
                n: 64,
                k: 4,
                p: 0.1
            }
        );
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let error = |text: &str| parse_spec(text, 1).unwrap_err().to_string();
        assert_eq!(
            error("rign:12"),
            "rign:12: unknown shape \"rign\"; did you mean \"ring\"?"
        );
        assert!(error("blob:3").contains("try one of ring:12"));
        assert!(error("rr:n=64").contains("value of k is missing"));
        assert!(error("rr:n=64,q=4").contains("rr takes n, k"));
        assert!(error("ring:many").contains("is not a number"));
        assert!(error("ring:12,n=3").contains("second time"));
    }
}
