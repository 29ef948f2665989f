//! Words of names and queries: case and accents folded, Unicode-normalised.

/// Calls `each` with every folded word of `text`, in order, repeats included.
///
/// Folding: compatibility decomposition (NFKD), combining marks removed, lower case. Words are runs of
/// alphanumeric characters. ASCII text takes a fast road without normalisation.
pub fn each_word(_text: &str, _each: impl FnMut(&str)) {
    todo!()
}
