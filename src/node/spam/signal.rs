//! What makes a result look like a fake, how much each sign weighs, and why.

/// One reason for doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Its hash, or its name and size, stand on a list of known fakes.
    Listed,
    /// The name is the words searched for and nothing else.
    Echo,
    /// Its responder has such names with endings of several kinds: it makes them up.
    EchoesOfOne,
    /// Different contents of exactly this size under many names, or under the same name.
    SameSize,
    /// Its responder has this one content under many names.
    ManyNames,
    /// No hash: what would come cannot be checked.
    NoHash,
    /// It is a program, and none was asked for.
    Program,
    /// It is a program that looks like something else.
    Disguised,
    /// The answer came sooner than the way allows.
    TooFast,
    /// Its responder gave more results than the rules allow.
    Flood,
}

impl Signal {
    /// In one word, for lines of JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Echo => "echo",
            Self::EchoesOfOne => "echoes-of-one",
            Self::SameSize => "same-size",
            Self::ManyNames => "many-names",
            Self::NoHash => "no-hash",
            Self::Program => "program",
            Self::Disguised => "disguised",
            Self::TooFast => "too-fast",
            Self::Flood => "flood",
        }
    }

    /// For people.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Listed => "on the list of known fakes",
            Self::Echo => "the name is the words searched for and nothing else",
            Self::EchoesOfOne => "its node has those words with endings of several kinds",
            Self::SameSize => "different contents of exactly this size came for this search",
            Self::ManyNames => "its node has this one content under many names",
            Self::NoHash => "no hash was told: what would come cannot be checked",
            Self::Program => "it is a program, and none was asked for",
            Self::Disguised => "it is a program that looks like something else",
            Self::TooFast => "the answer came sooner than the way allows",
            Self::Flood => "its node gave more results than the rules allow",
        }
    }
}

/// A signal and how strong it is: `(level reached, weight)` rows, the last that fits counts.
pub(super) type Levels = [(usize, f64)];

/// Weights on the live network. An echo or a program is common among honest results too, so neither hides; echoes of
/// three kinds of one responder, or eight contents of one size, hardly ever are.
pub(super) mod far {
    /// Who knows the title types it: common.
    pub(crate) const ECHO: f64 = 0.35;
    /// A single word is a file's whole name often enough.
    pub(crate) const ECHO_OF_ONE_WORD: f64 = 0.15;
    /// A book and its reading, an album and its songs in an archive: two kinds are still honest.
    pub(crate) const ECHOES_OF_ONE: &super::Levels = &[(2, 0.3), (3, 0.75)];
    /// Exact sizes of different contents meet by chance once, not often.
    pub(crate) const SAME_SIZE: &super::Levels = &[(4, 0.4), (6, 0.6), (8, 0.75)];
    /// A copy or two under another name lie on many disks.
    pub(crate) const MANY_NAMES: &super::Levels = &[(4, 0.5), (8, 0.75)];
    /// All programs of today tell hashes.
    pub(crate) const NO_HASH: f64 = 0.45;
    /// The form most malware comes in, and all installers.
    pub(crate) const PROGRAM: f64 = 0.45;
    /// Physics.
    pub(crate) const TOO_FAST: f64 = 0.6;
    /// Against the rules, and of little use as evidence on a single file.
    pub(crate) const FLOOD: f64 = 0.3;
}

/// Weights on a LAN: all below together leave more than a fifth of trust.
pub(super) mod near {
    pub(crate) const ECHO: f64 = 0.05;
    pub(crate) const ECHOES_OF_ONE: &super::Levels = &[(3, 0.1)];
    pub(crate) const SAME_SIZE: &super::Levels = &[(6, 0.2)];
    pub(crate) const MANY_NAMES: &super::Levels = &[(6, 0.2)];
    /// Hashing takes its time, and files are found meanwhile.
    pub(crate) const NO_HASH: f64 = 0.1;
    pub(crate) const PROGRAM: f64 = 0.05;
}

/// On any network: no honest file looks like that, and yet a script or two may.
pub(super) const DISGUISED: f64 = 0.7;

pub(super) fn weight(levels: &Levels, reached: usize) -> f64 {
    let fits = levels.iter().rfind(|(from, _)| reached >= *from);
    fits.map_or(0.0, |(_, weight)| *weight)
}
