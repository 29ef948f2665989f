//! What a file is, judged by the ending of its name: for `--type`, and for queries that want some kinds only.

use crate::wire::query::Media;

/// A kind of file as people name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Sound.
    Audio,
    /// Films.
    Video,
    /// Pictures.
    Image,
    /// Whatever is read.
    Text,
    /// Files in a file.
    Archive,
    /// What can be run or installed.
    Program,
}

const ALL: [(Kind, &str, &[&str]); 6] = [
    (
        Kind::Audio,
        "audio",
        &[
            "mp3", "ogg", "oga", "opus", "flac", "wav", "m4a", "aac", "wma", "aiff", "aif", "ape",
            "mid",
        ],
    ),
    (
        Kind::Video,
        "video",
        &[
            "mp4", "mkv", "webm", "avi", "mov", "mpg", "mpeg", "m4v", "wmv", "ogv", "flv", "ts",
        ],
    ),
    (
        Kind::Image,
        "image",
        &[
            "jpg", "jpeg", "png", "gif", "webp", "svg", "tif", "tiff", "bmp", "heic", "avif", "raw",
        ],
    ),
    (
        Kind::Text,
        "text",
        &[
            "txt", "md", "pdf", "epub", "mobi", "html", "htm", "doc", "docx", "odt", "rtf", "tex",
            "csv", "json", "xml", "djvu", "ps", "log",
        ],
    ),
    (
        Kind::Archive,
        "archive",
        &[
            "zip", "tar", "gz", "tgz", "bz2", "xz", "zst", "7z", "rar", "iso", "jar", "cab",
        ],
    ),
    (
        Kind::Program,
        "program",
        &[
            "exe", "msi", "apk", "dmg", "deb", "rpm", "appimage", "sh", "bat", "py", "com", "scr",
            "cmd", "pif", "vbs", "ps1",
        ],
    ),
];

impl Kind {
    /// The kind of that name, such as `audio`.
    pub fn named(name: &str) -> Option<Self> {
        let found = ALL.iter().find(|(_, of, _)| *of == name);
        found.map(|(kind, ..)| *kind)
    }

    /// The kind of a file with this ending, in lower case.
    pub fn of_ending(ending: &str) -> Option<Self> {
        let found = ALL.iter().find(|(.., endings)| endings.contains(&ending));
        found.map(|(kind, ..)| *kind)
    }

    /// What to ask of others for this kind, where all programs agree which files that are: whoever calls fewer
    /// endings texts or programs than we do would keep results back.
    pub fn asked(self) -> Option<Media> {
        match self {
            Self::Audio => Some(Media::AUDIO),
            Self::Video => Some(Media::VIDEO),
            Self::Image => Some(Media::IMAGE),
            Self::Text | Self::Archive | Self::Program => None,
        }
    }

    /// What a query must ask for to want it. Archives count as programs, which is what they mostly hold.
    fn media(self) -> Media {
        match self {
            Self::Audio => Media::AUDIO,
            Self::Video => Media::VIDEO,
            Self::Image => Media::IMAGE,
            Self::Text => Media::DOCUMENT,
            Self::Archive | Self::Program => Media::PROGRAM,
        }
    }
}

/// The ending of a name, in lower case; empty without one.
pub fn ending(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() => ending.to_lowercase(),
        _ => String::new(),
    }
}

/// Does a query that wants these kinds want a file of this name?
pub(super) fn wants(media: Media, name: &str) -> bool {
    let ending = ending(name);
    let of_file = match ending.as_str() {
        "torrent" => Some(Media::TORRENT),
        ending => Kind::of_ending(ending).map(Kind::media),
    };
    of_file.is_some_and(|of_file| media.meets(of_file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_file_has_no_ending() {
        assert_eq!(
            (ending(".bashrc"), ending("a.Tar.GZ"), ending("a")),
            (String::new(), "gz".into(), String::new())
        );
    }

    #[test]
    fn a_query_for_kinds_wants_those_alone() {
        for (media, name, wanted) in [
            (Media::AUDIO, "a.MP3", true),
            (Media::AUDIO, "mp3", false),
            (Media::DOCUMENT, "a.pdf", true),
            (Media::IMAGE, "a.pdf", false),
            (Media::PROGRAM, "a.zip", true),
            (Media::TORRENT, "a.torrent", true),
            (Media::VIDEO, "a.unknown", false),
        ] {
            assert_eq!(wants(media, name), wanted, "{name}");
        }
    }

    #[test]
    fn each_ending_is_of_one_kind() {
        for (kind, name, endings) in ALL {
            assert_eq!(Kind::named(name), Some(kind));
            for ending in endings {
                assert_eq!(Kind::of_ending(ending), Some(kind), "{ending}");
            }
        }
    }
}
