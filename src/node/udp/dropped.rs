//! Why datagrams are dropped: each for one reason, which is counted.

/// Why a datagram was dropped. Every drop has exactly one reason and is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dropped {
    /// From an address that is listed as hostile.
    Hostile,
    /// Longer than a datagram may be (`DATAGRAM_BYTES_MAX`).
    TooLarge,
    /// Nobody can be at the address it says it is from.
    NoSender,
    /// Not exactly one frame, or one that does not decode.
    Malformed,
    /// A kind that is of no use by datagram.
    Unused,
    /// A ping that has travelled, or has no life.
    Relayed,
    /// A ping in the name of a service that is no node.
    Service,
    /// A ping sooner than its address is answered.
    PingTooSoon,
    /// More addresses ping than are answered.
    PingCrowd,
    /// An answer that would be larger than the asker may get.
    AnswerTooLarge,
    /// Something about a search, from an address that sends too much.
    SearchTooMuch,
    /// Something about a search, when too many send such.
    SearchCrowd,
    /// A push, when too many come.
    PushCrowd,
}

impl Dropped {
    /// All reasons.
    pub const ALL: [Self; 13] = [
        Self::Hostile,
        Self::TooLarge,
        Self::NoSender,
        Self::Malformed,
        Self::Unused,
        Self::Relayed,
        Self::Service,
        Self::PingTooSoon,
        Self::PingCrowd,
        Self::AnswerTooLarge,
        Self::SearchTooMuch,
        Self::SearchCrowd,
        Self::PushCrowd,
    ];

    /// Name for counters and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hostile => "datagram_hostile",
            Self::TooLarge => "datagram_too_large",
            Self::NoSender => "datagram_no_sender",
            Self::Malformed => "datagram_malformed",
            Self::Unused => "datagram_unused",
            Self::Relayed => "datagram_relayed",
            Self::Service => "datagram_service",
            Self::PingTooSoon => "datagram_ping_too_soon",
            Self::PingCrowd => "datagram_ping_crowd",
            Self::AnswerTooLarge => "datagram_answer_too_large",
            Self::SearchTooMuch => "datagram_search_too_much",
            Self::SearchCrowd => "datagram_search_crowd",
            Self::PushCrowd => "datagram_push_crowd",
        }
    }
}
