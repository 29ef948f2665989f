//! Honest results stay, fakes go; on a LAN nearly everything stays.

use proptest::prelude::*;

use super::*;

/// A search and its results, each with the number of its content.
struct Search {
    net: Net,
    scorer: Scorer,
    contents: Vec<u32>,
    names: Vec<String>,
}

impl Search {
    fn new(text: &str, net: Net) -> Self {
        Self {
            net,
            scorer: Scorer::new(Asked::new(text, false)),
            contents: Vec::new(),
            names: Vec::new(),
        }
    }

    fn host(host: u16) -> SocketAddr {
        SocketAddr::from(([203, 0, 114, 7], host))
    }

    fn with(mut self, host: u16, name: &str, size: u64, content: u32) -> Self {
        self.add(host, name, size, content, true);
        self
    }

    fn add(&mut self, host: u16, name: &str, size: u64, content: u32, hashed: bool) -> usize {
        let known = self.contents.iter().position(|one| *one == content);
        let file = known.unwrap_or(self.contents.len());
        if known.is_none() {
            self.contents.push(content);
            self.names.push(name.to_owned());
        }
        let offer = Offer {
            net: self.net,
            responder: Self::host(host),
            name,
            size,
            hashed,
            listed: false,
            hops: 1,
            after: Duration::from_millis(300),
        };
        self.scorer.hear(offer.responder, name);
        self.scorer.offer(file, &offer);
        file
    }

    fn hidden(&self) -> Vec<&str> {
        let hides = |file: &usize| self.scorer.verdict(*file).hides();
        let files = 0..self.contents.len();
        files
            .filter(hides)
            .map(|file| self.names[file].as_str())
            .collect()
    }
}

#[test]
fn honest_results_of_the_live_network_stay() {
    let title = Search::new("moby dick", Net::Gnutella)
        // A library: three formats of a book, and the reading of it.
        .with(1, "Moby Dick.epub", 1_257_341, 1)
        .with(1, "Moby Dick.pdf", 2_100_007, 2)
        .with(1, "moby_dick.mobi", 1_400_003, 3)
        .with(1, "Moby Dick.mp3", 90_000_001, 4)
        // The same book in many places, under the names people give it.
        .with(2, "Melville - Moby Dick.epub", 1_257_341, 1)
        .with(3, "moby dick.epub", 1_257_341, 1)
        .with(4, "moby-dick-ebook.epub", 1_257_341, 1)
        .with(5, "moby dick.zip", 700_001, 5);
    assert_eq!(title.hidden(), Vec::<&str>::new());
    let installer = Search::new("gimp installer", Net::Gnutella)
        .with(1, "gimp-installer.exe", 90_000_003, 1)
        .with(2, "gimp-installer.exe", 90_000_003, 1);
    assert_eq!(installer.hidden(), Vec::<&str>::new());
    let mut parts = Search::new("linux live", Net::Gnutella);
    for part in 0..60 {
        let name = format!("linux live.part{part:02}.rar");
        parts.add(1, &name, 15_000_001, part, true);
    }
    assert_eq!(parts.hidden(), Vec::<&str>::new(), "a split archive");
    let mut pictures = Search::new("wedding", Net::Gnutella);
    for picture in 0..400 {
        let name = format!("wedding/IMG_{picture}.jpg");
        pictures.add(1, &name, 2_000_000 + u64::from(picture), picture, true);
    }
    assert_eq!(
        pictures.hidden(),
        Vec::<&str>::new(),
        "many, and no more against it"
    );
    let mut roms = Search::new("game", Net::Gnutella);
    for rom in 0..20u8 {
        let name = format!("game of {}.sfc", char::from(b'a' + rom));
        roms.add(1, &name, 524_288, rom.into(), true);
    }
    assert_eq!(roms.hidden(), Vec::<&str>::new(), "sizes of cartridges");
    let mut old = Search::new("moby dick", Net::Gnutella);
    old.add(1, "moby dick.txt", 1_200_001, 1, false);
    assert_eq!(old.hidden(), Vec::<&str>::new(), "no hash and an echo");
}

#[test]
fn fakes_of_the_live_network_go() {
    let makes_up = Search::new("moby dick", Net::Gnutella)
        .with(1, "moby dick.zip", 94_208, 1)
        .with(1, "moby dick.mp3", 3_100_001, 2)
        .with(1, "moby dick full crack.exe", 200_001, 3)
        .with(2, "Melville - Moby Dick.epub", 1_257_341, 4);
    assert_eq!(
        makes_up.hidden(),
        ["moby dick.zip", "moby dick.mp3", "moby dick full crack.exe"]
    );
    let mut one_size = Search::new("pink flamingo live", Net::Gnutella);
    for host in 1..=8u16 {
        one_size.add(host, "pink flamingo live.zip", 412_333, host.into(), true);
    }
    one_size.add(9, "Pink Flamingo - Live in Oslo.flac", 30_000_001, 99, true);
    assert_eq!(one_size.hidden().len(), 8);
    let mut no_hash = Search::new("moby dick", Net::Gnutella);
    no_hash.add(1, "moby dick.exe", 200_001, 1, false);
    assert_eq!(no_hash.hidden(), ["moby dick.exe"]);
    let disguised =
        Search::new("moby dick", Net::Gnutella).with(1, "moby dick.pdf.exe", 200_001, 1);
    assert_eq!(disguised.hidden(), ["moby dick.pdf.exe"]);
    let mut renames = Search::new("flamingo", Net::Gnutella);
    for word in [
        "live", "best", "hits", "remix", "dance", "party", "sun", "moon",
    ] {
        renames.add(1, &format!("flamingo {word}.exe"), 94_001, 1, true);
    }
    assert_eq!(renames.hidden(), ["flamingo live.exe"]);
}

#[test]
fn an_answer_before_the_query_can_have_come_there_is_doubted() {
    for (net, hops, after, doubted) in [
        (Net::Gnutella, 4, 3, true),
        (Net::Gnutella, 4, 60, false),
        (Net::Gnutella, 0, 0, false),
        (Net::Lan, 4, 3, false),
        (Net::Rehearsal, 4, 3, false),
    ] {
        let mut scorer = Scorer::new(Asked::new("moby dick", false));
        let offer = Offer {
            net,
            responder: Search::host(1),
            name: "moby dick by melville.txt",
            size: 5_001,
            hashed: true,
            listed: false,
            hops,
            after: Duration::from_millis(after),
        };
        scorer.offer(0, &offer);
        let signals = scorer.verdict(0).signals;
        let found = signals.iter().any(|(signal, _)| *signal == Signal::TooFast);
        assert_eq!(found, doubted, "{net:?} {hops} {after}");
    }
}

#[test]
fn what_is_asked_for_is_not_held_against_it() {
    let score = |text, name| {
        let search = Search::new(text, Net::Gnutella).with(1, name, 5_001, 1);
        search.scorer.verdict(0).score
    };
    assert!(score("putty", "putty.exe") > score("putty exe", "putty.exe"));
    let wanted = Asked::new("putty", true);
    assert!(wanted.programs);
}

#[test]
fn a_listed_file_is_hidden_everywhere_and_one_honest_copy_redeems_a_name() {
    for net in [Net::Lan, Net::Gnutella] {
        let mut scorer = Scorer::new(Asked::new("moby", false));
        let offer = Offer {
            net,
            responder: Search::host(1),
            name: "whale.txt",
            size: 1,
            hashed: true,
            listed: true,
            hops: 0,
            after: Duration::ZERO,
        };
        scorer.offer(0, &offer);
        assert!(scorer.verdict(0).hides(), "{net:?}");
    }
    let alone = Search::new("moby dick", Net::Gnutella).with(1, "moby dick.zip", 5_001, 1);
    let before = alone.scorer.verdict(0).score;
    let joined = alone.with(2, "Melville, Moby Dick (scan of 1851).zip", 5_001, 1);
    assert!(joined.scorer.verdict(0).score < before);
}

#[test]
fn a_node_on_two_nets_judges_each_copy_by_its_own() {
    let mut search = Search::new("moby dick", Net::Gnutella);
    for (content, ending) in [(1, "zip"), (2, "mp3"), (3, "exe")] {
        search.add(1, &format!("moby dick.{ending}"), 9_001, content, true);
    }
    search.net = Net::Lan;
    for (content, ending) in [(4, "zip"), (5, "mp3"), (6, "exe")] {
        search.add(2, &format!("moby dick.{ending}"), 9_101, content, true);
    }
    assert_eq!(search.hidden().len(), 3, "{:?}", search.hidden());
    assert!(!search.scorer.verdict(3).hides() && search.scorer.verdict(0).hides());
    search.add(3, "moby dick.zip", 9_001, 1, true);
    assert!(
        !search.scorer.verdict(0).hides(),
        "one of the LAN has it too"
    );
}

#[test]
fn later_evidence_is_told_to_concern_earlier_files() {
    let mut search = Search::new("moby dick", Net::Gnutella);
    search.add(1, "moby dick.zip", 94_208, 1, true);
    assert_eq!(search.scorer.changed(), [0].into());
    assert!(search.scorer.changed().is_empty());
    search.add(1, "moby dick.mp3", 3_100_001, 2, true);
    assert_eq!(search.scorer.changed(), [0, 1].into());
    search.add(2, "else.txt", 7, 3, true);
    assert_eq!(search.scorer.changed(), [2].into());
}

#[test]
fn a_flood_of_names_costs_little() {
    let mut search = Search::new("moby dick", Net::Gnutella);
    for n in 0..10_000u32 {
        search.add(1, &format!("moby dick {n}.zip"), 94_001, n, true);
        search.scorer.changed();
    }
    assert!(search.scorer.sizes[&94_001].names.len() <= NAMES_MAX);
    let flood = search.scorer.verdict(9_999).signals;
    assert!(
        flood.iter().any(|(signal, _)| *signal == Signal::Flood),
        "{flood:?}"
    );
}

proptest! {
    /// The promise for a LAN: whatever people share there under whatever names, nothing is hidden, unless it is
    /// listed or a program that looks like something else.
    #[test]
    fn on_a_lan_nothing_is_hidden_for_its_names_and_sizes(
        results in prop::collection::vec(
            (1u16..4, "(moby|dick|moby dick|dick moby full|whale)( crack| [0-9])?", 0usize..6, 0u64..4, 0u32..12, any::<bool>()),
            1..60,
        ),
    ) {
        const ENDINGS: [&str; 6] = ["exe", "zip", "mp3", "txt", "avi", "jpg"];
        let mut search = Search::new("moby dick", Net::Lan);
        for (host, name, ending, size, content, hashed) in results {
            let name = format!("{name}.{}", ENDINGS[ending]);
            search.add(host, &name, 5_001 + size, content, hashed);
        }
        prop_assert_eq!(search.hidden(), Vec::<&str>::new());
    }

    #[test]
    fn a_score_is_one_and_any_names_do_no_harm(
        results in prop::collection::vec((0u16..3, "\\PC{0,24}", any::<u64>(), 0u32..6, any::<bool>()), 0..30),
        text in "\\PC{0,12}",
    ) {
        for net in [Net::Lan, Net::Gnutella] {
            let mut search = Search::new(&text, net);
            for (host, name, size, content, hashed) in &results {
                let file = search.add(*host, name, *size, *content, *hashed);
                let verdict = search.scorer.verdict(file);
                prop_assert!((0.0..=1.0).contains(&verdict.score), "{:?}", verdict);
            }
        }
    }
}
