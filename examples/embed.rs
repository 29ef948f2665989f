//! A node inside another program: run it, search, fetch the first file that is found.
//!
//! `cargo run --example embed -- HOST:PORT FOLDER WORDS...`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use filbert::control::Request;
use filbert::net::download::{Cancel, Job, fetch};
use filbert::net::{Listen, Servent, Settings};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let peer = args.next().ok_or("name a peer")?.parse()?;
    let folder = args.next().ok_or("name a folder to fetch into")?;
    let words = args.collect::<Vec<_>>().join(" ");

    let node = Servent::start(Settings {
        peers: vec![peer],
        listen: Listen::Nowhere,
        ..Settings::default()
    })?;
    let search = node.request(Request::search(words));
    let mut hits = search.hits(Duration::from_secs(10));
    let hit = hits.next().ok_or("nobody has it")??;
    drop(hits);
    let job = Job::of_hit(&hit, folder).ok_or("the hit names no file")?;
    let fetched = fetch(&job, |_| {}, &Cancel::new())?;
    println!("{} ({} bytes)", fetched.path.display(), fetched.size);
    node.stop();
    Ok(())
}
