//! Exit codes, as a type.

use std::fmt;

/// How a command ended, as scripts see it. Codes never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done; for `search`: something found; for `get`: all complete and verified.
    Good,
    /// 1: it worked, but there is nothing: no results, no source.
    Nothing,
    /// 2: wrong use or an unexpected error.
    Usage,
    /// 3: no neighbour reachable, or no node answers.
    NoNetwork,
    /// 4: the time limit passed; what came is kept.
    TimeLimit,
    /// 5: content did not match its hash.
    Mismatch,
    /// 6: the local disk: full, not writable, a name in use.
    Disk,
    /// 7: the other side refused.
    Refused,
    /// 8: a node already runs on this home.
    Running,
    /// 130: interrupted; what came is kept.
    Interrupted,
}

impl Exit {
    /// All codes, the first being the one that wins when several targets end differently.
    pub const WORST_FIRST: [Self; 10] = [
        Self::Interrupted,
        Self::Usage,
        Self::Running,
        Self::Mismatch,
        Self::Disk,
        Self::Refused,
        Self::NoNetwork,
        Self::TimeLimit,
        Self::Nothing,
        Self::Good,
    ];

    /// The exit of that code; wrong use for one that there is none of.
    pub fn of_code(code: u8) -> Self {
        let mut known = Self::WORST_FIRST.into_iter();
        known
            .find(|known| known.code() == code)
            .unwrap_or(Self::Usage)
    }

    /// The code for the system.
    pub fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Nothing => 1,
            Self::Usage => 2,
            Self::NoNetwork => 3,
            Self::TimeLimit => 4,
            Self::Mismatch => 5,
            Self::Disk => 6,
            Self::Refused => 7,
            Self::Running => 8,
            Self::Interrupted => 130,
        }
    }

    /// The worse of two: 5 > 6 > 7 > 3 > 4 > 1 > 0, with an interruption and wrong use above all.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        let rank = |exit| Self::WORST_FIRST.iter().position(|&at| at == exit);
        if rank(self) <= rank(other) {
            self
        } else {
            other
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// A command that failed: what to say on stderr, and the code.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// What, where and the way out; control characters are escaped when printed.
    pub message: String,
}

impl Failure {
    /// A failure with its message.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// What nobody foresaw ends with code 2 and its whole chain of causes.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(failure) => failure,
            Err(error) => Self::new(Exit::Usage, format!("{error:#}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several_targets_wins() {
        let order = [5, 6, 7, 3, 4, 1, 0];
        let by_code = |code| {
            Exit::WORST_FIRST
                .into_iter()
                .find(|exit| exit.code() == code)
                .expect("a code")
        };
        for (at, &worse) in order.iter().enumerate() {
            for &better in &order[at..] {
                assert_eq!(by_code(worse).worst(by_code(better)).code(), worse);
                assert_eq!(by_code(better).worst(by_code(worse)).code(), worse);
            }
        }
        assert_eq!(Exit::Interrupted.worst(Exit::Mismatch), Exit::Interrupted);
    }
}
