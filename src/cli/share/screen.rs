//! The start screen, and what `--dry-run` says.

use std::net::{IpAddr, SocketAddr};

use crate::cli::Context;
use crate::cli::args::values::PORT;
use crate::cli::exit::Failure;
use crate::cli::output::escape::shown;
use crate::cli::output::units;
use crate::control::Share;

/// Says what is shared, what is left out, with whom, and how to end it.
pub(super) fn start(
    context: &Context,
    shares: &[Share],
    name: &str,
    listen: Option<SocketAddr>,
) -> Result<(), Failure> {
    lines(shares, name, listen, crate::net::own_address())
        .iter()
        .try_for_each(|line| context.out.line(&shown(line)))
}

fn lines(
    shares: &[Share],
    name: &str,
    listen: Option<SocketAddr>,
    own: Option<IpAddr>,
) -> Vec<String> {
    let mut lines = Vec::new();
    let width = shares
        .iter()
        .map(|share| share.name.chars().count())
        .max()
        .unwrap_or(0);
    for share in shares {
        let state = match (&share.problem, share.scanning) {
            (Some(problem), _) => problem.clone(),
            (None, true) => "still scanning".to_owned(),
            (None, false) => "read-only".to_owned(),
        };
        let files = units::counted(share.files, "file", "files");
        lines.push(format!(
            "Sharing   {:<width$}   {files:>14}   {:>8}   {state}",
            share.name,
            units::size(share.bytes)
        ));
    }
    if shares.is_empty() {
        lines.push("Sharing   nothing: this node passes on what others ask and answer".to_owned());
    }
    let left_out: u64 = shares.iter().map(|share| share.left_out).sum();
    if left_out > 0 {
        let things = units::counted(left_out, "file or folder", "files and folders");
        lines.push(format!("Left out  {things}   (filbert shares check --why)"));
    }
    if let Some(listen) = listen {
        let reach = reach(listen, own);
        let who = if reach.ip().is_loopback() {
            "programs on this machine only"
        } else {
            "whoever can connect to this address"
        };
        let name = if name.is_empty() {
            String::new()
        } else {
            format!("   as \"{name}\"")
        };
        lines.push(format!("Reach     {reach}   {who}{name}"));
        let host = if reach.port() == PORT {
            reach.ip().to_string()
        } else {
            reach.to_string()
        };
        if !shares.is_empty() {
            lines.push(String::new());
            lines.push(format!(
                "Others can now run   filbert search WORDS --peer {host}"
            ));
            lines.push(format!("Or open in a browser http://{reach}/"));
        }
    }
    let (bytes, hashed) = shares.iter().fold((0, 0), |(bytes, hashed), share| {
        (bytes + share.bytes, hashed + share.hashed_bytes)
    });
    if hashed < bytes {
        lines.push(format!(
            "Hashing   {} of {}. Names are searchable already.",
            units::size(hashed),
            units::size(bytes)
        ));
    }
    lines.push("Ctrl-C stops it.".to_owned());
    lines
}

/// Where others reach a node that listens there: every address of the machine stands for the one it uses.
fn reach(listen: SocketAddr, own: Option<IpAddr>) -> SocketAddr {
    match own {
        Some(own) if listen.ip().is_unspecified() => SocketAddr::new(own, listen.port()),
        _ => listen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share() -> Share {
        Share {
            name: "Wedding".into(),
            path: "/home/a/Wedding".into(),
            files: 1_279,
            bytes: 18_200_000_000,
            hashed_files: 600,
            hashed_bytes: 11_300_000_000,
            left_out: 5,
            scanning: false,
            problem: None,
        }
    }

    #[test]
    fn the_screen_says_what_with_whom_and_how_to_end() {
        let everywhere = SocketAddr::from(([0, 0, 0, 0], PORT));
        let text = lines(
            &[share()],
            "desk",
            Some(everywhere),
            Some([192, 168, 1, 12].into()),
        )
        .join("\n");
        for part in [
            "Wedding      1,279 files    18.2 GB   read-only",
            "5 files and folders   (filbert shares check --why)",
            "192.168.1.12:6346   whoever can connect to this address   as \"desk\"",
            "filbert search WORDS --peer 192.168.1.12\n",
            "http://192.168.1.12:6346/",
            "11.3 GB of 18.2 GB",
            "Ctrl-C",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn a_node_without_folders_says_so_and_one_on_loopback_too() {
        let text = lines(&[], "", Some(SocketAddr::from(([127, 0, 0, 1], 9))), None).join("\n");
        assert!(
            text.contains("nothing")
                && text.contains("this machine only")
                && !text.contains("Left out"),
            "{text}"
        );
    }
}
