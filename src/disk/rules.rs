//! What is never shared, judged by name and kind alone.
//!
//! The same rules hold when a folder is scanned and when a file is opened for serving, so a name that a
//! scan leaves out is refused to whoever asks for it, however the request was written. Letter case does not
//! matter. No symbolic link below a listed folder is followed, not even one that stays inside: what it
//! points to is shared under its own name anyway, and where a link leads can change at any time.

use std::fmt;
use std::path::Path;

/// Why something below a listed folder is not shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its name starts with a dot.
    Hidden,
    /// A symbolic link.
    Link,
    /// A socket, device or pipe.
    Special,
    /// The name is not UTF-8.
    NotUtf8,
    /// The name has control characters.
    Control,
    /// Zero bytes.
    Empty,
    /// Holds keys, passwords or sessions.
    Secret,
    /// Holds mail.
    Mail,
    /// A download that is not complete, or a temporary file of another program.
    Partial,
    /// Filbert's own files.
    Own,
    /// A folder of the system that holds no real files.
    System,
    /// It cannot be read; what the system says.
    Unreadable(String),
    /// The path below the listed folder is longer than [`PATH_BYTES_MAX`].
    TooLong,
    /// More files than a node shares.
    TooMany,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hidden => "hidden (its name starts with a dot)",
            Self::Link => "a link; links are not followed",
            Self::Special => "no ordinary file (a pipe, socket or device)",
            Self::NotUtf8 => "its name is not valid UTF-8; rename it to share it",
            Self::Control => "its name has control characters; rename it to share it",
            Self::Empty => "empty (nothing to fetch)",
            Self::Secret => "may hold keys or passwords",
            Self::Mail => "looks like a mailbox",
            Self::Partial => "incomplete or temporary",
            Self::Own => "filbert keeps its own files here",
            Self::System => "a folder of the system, without real files",
            Self::Unreadable(error) => return write!(f, "cannot be read: {error}"),
            Self::TooLong => "its path is too long",
            Self::TooMany => "more files than one node shares",
        })
    }
}

/// What a name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A plain file.
    File,
    /// A folder.
    Folder,
}

/// Bytes of a path below a listed folder. Linux takes 4096 with the end mark, for the whole path.
pub const PATH_BYTES_MAX: usize = 4_000;

/// Files and folders of keys, passwords and browser sessions: whole names, in lower case.
const SECRET_NAMES: &[&str] = &[
    // ssh, gpg, TLS, Kerberos
    "authorized_keys",
    "known_hosts",
    "secring.gpg",
    "pubring.gpg",
    "pubring.kbx",
    "trustdb.gpg",
    "private-keys-v1.d",
    "krb5.keytab",
    "master.key",
    "ssh",
    "gnupg",
    // systems and servers
    "passwd",
    "shadow",
    "gshadow",
    "htpasswd",
    "_netrc",
    "netrc",
    "pgpass.conf",
    "credentials",
    "credentials.json",
    "credentials.csv",
    "secrets.yml",
    "secrets.yaml",
    "secrets.json",
    "secrets.toml",
    "id.json",
    "ntuser.dat",
    // browsers
    "logins.json",
    "logins-backup.json",
    "key3.db",
    "key4.db",
    "signons.sqlite",
    "cookies.sqlite",
    "cookies.txt",
    "cookies",
    "login data",
    "login data for account",
    "web data",
    "local state",
    "places.sqlite",
    "formhistory.sqlite",
    "sessionstore.jsonlz4",
    "cookies.binarycookies",
    // password managers, key rings, wallets
    "keyrings",
    "kwalletd",
    "keychains",
    "keystore",
    "wallet.dat",
    "wallets",
    "electrum.dat",
    "default_wallet",
    "passwords",
    "passwords.txt",
    "passwords.csv",
    "passwords.xlsx",
    "password.txt",
    "passwort.txt",
    "passwords.json",
    "recovery-codes.txt",
    "seed.txt",
];

/// Starts of names of private keys, in lower case.
const SECRET_STARTS: &[&str] = &[
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "ssh_host_",
    "utc--",
    "bitwarden_export",
    "lastpass_export",
    "1password",
];

/// Ends of names of keys, key stores, wallets and the like, in lower case, after the last dot.
const SECRET_ENDS: &[&str] = &[
    "pem",
    "key",
    "ppk",
    "p12",
    "pfx",
    "p8",
    "pk8",
    "pkcs12",
    "jks",
    "jceks",
    "bks",
    "keystore",
    "keytab",
    "kdb",
    "kdbx",
    "psafe3",
    "agilekeychain",
    "opvault",
    "1pif",
    "1pux",
    "keychain",
    "keychain-db",
    "kwallet",
    "keyring",
    "wallet",
    "ovpn",
    "env",
    "kbx",
    "htpasswd",
    "tfstate",
];

/// Mail stores: whole names, in lower case.
const MAIL_NAMES: &[&str] = &["maildir", "mbox", "inbox", "imapmail", "local folders"];
/// Ends of names of mail stores, in lower case.
const MAIL_ENDS: &[&str] = &[
    "mbox", "mbx", "pst", "ost", "eml", "emlx", "msf", "dbx", "msg", "mbs", "olm",
];

/// Ends of names of unfinished downloads and temporary files, in lower case.
const PARTIAL_ENDS: &[&str] = &[
    "filbert-part",
    "filbert-bad",
    "part",
    "partial",
    "crdownload",
    "download",
    "opdownload",
    "!ut",
    "!qb",
    "!bt",
    "bc!",
    "ob!",
    "aria2",
    "dctmp",
    "antifrag",
    "td",
    "tdl",
    "incomplete",
    "unconfirmed",
    "unfinished",
    "tmp",
    "temp",
    "swp",
    "lck",
];
/// Folders of unfinished downloads, in lower case.
const PARTIAL_FOLDERS: &[&str] = &["incomplete", "incompletes", "unfinished"];

/// Judges one name of a path below a listed folder; `Ok`: nothing against it.
///
/// # Errors
/// Why it is not shared.
pub fn judge(name: &str, kind: Kind) -> Result<(), Why> {
    if name.starts_with('.') {
        return Err(Why::Hidden);
    }
    if name.is_empty() || name.contains(|c: char| c.is_control() || c == '/') {
        return Err(Why::Control);
    }
    let lower = name.to_lowercase();
    let end = lower.rsplit_once('.').map_or("", |(_, end)| end);
    let is = |list: &[&str], text: &str| list.contains(&text);
    if is(SECRET_NAMES, &lower)
        || is(SECRET_ENDS, end)
        || SECRET_STARTS.iter().any(|start| lower.starts_with(start))
    {
        return Err(Why::Secret);
    }
    if is(MAIL_NAMES, &lower) || is(MAIL_ENDS, end) {
        return Err(Why::Mail);
    }
    let partial = is(PARTIAL_ENDS, end)
        || lower.starts_with("~$")
        || lower.ends_with('~')
        || lower.contains(".filbert-part")
        // Unfinished downloads of LimeWire and its kin: T-12345-name.
        || kind == Kind::File && lower.strip_prefix("t-").is_some_and(numbered)
        || kind == Kind::Folder && is(PARTIAL_FOLDERS, &lower);
    if partial { Err(Why::Partial) } else { Ok(()) }
}

fn numbered(rest: &str) -> bool {
    rest.split_once('-')
        .is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Judges a whole path below a listed folder, `/` between parts, of a file that is to be served.
///
/// # Errors
/// Why it is not shared; also for paths no scan can have given (`..`, empty parts).
pub fn judge_path(path: &str) -> Result<(), Why> {
    if path.len() > PATH_BYTES_MAX {
        return Err(Why::TooLong);
    }
    match path.rsplit_once('/') {
        Some((folders, name)) => {
            folders
                .split('/')
                .try_for_each(|folder| judge(folder, Kind::Folder))?;
            judge(name, Kind::File)
        }
        None => judge(path, Kind::File),
    }
}

/// How widely folders may be listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Breadth {
    /// Neither `/` nor the home folder, nor any folder that holds it.
    #[default]
    Ordinary,
    /// Any folder (`--allow-broad`).
    Any,
}

/// Folders that are never listed, by the end of their path, however they are asked for.
const NEVER_LISTED: &[&str] = &[
    ".ssh",
    ".gnupg",
    ".password-store",
    ".aws",
    ".kube",
    ".mozilla",
    ".thunderbird",
];
/// Folders without real files. Disks may be mounted below some of them, and are listed by their own path.
const SYSTEM: &[&str] = &["/proc", "/sys", "/dev", "/run"];

/// Is the folder one of the system, without real files?
pub fn is_system(folder: &Path) -> bool {
    SYSTEM.iter().any(|system| folder == Path::new(system))
}

/// May this folder be listed? `folder` without links (canonical); `home` is the user's home folder.
///
/// # Errors
/// A sentence for people that names the way out.
pub fn judge_listed(folder: &Path, home: Option<&Path>, breadth: Breadth) -> Result<(), String> {
    let shown = folder.display();
    if folder
        .components()
        .any(|part| NEVER_LISTED.iter().any(|never| part.as_os_str() == *never))
    {
        return Err(format!(
            "{shown} holds keys or private data and is never shared; choose another folder"
        ));
    }
    if breadth == Breadth::Any {
        return Ok(());
    }
    let broad = if folder == Path::new("/") {
        "the whole disk"
    } else if home == Some(folder) {
        "your home folder"
    } else if home.is_some_and(|home| home.starts_with(folder)) {
        "a folder that holds your home folder"
    } else if is_system(folder) || folder.starts_with("/proc") || folder.starts_with("/sys") {
        "a folder of the system"
    } else {
        return Ok(());
    };
    Err(format!(
        "{shown} is {broad}; choose a folder in it, or say --allow-broad if you mean it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Result<(), Why> {
        judge(name, Kind::File)
    }

    #[test]
    fn ordinary_names_are_shared() {
        for name in [
            "Moby-Dick.epub",
            "a",
            "T-rex.jpg",
            "t-1.png",
            "keyboard.txt",
            "part one.ogg",
            "tmp notes.txt",
            "Ключ.txt",
            "mailing.txt",
            "id.txt",
        ] {
            assert_eq!(file(name), Ok(()), "{name}");
        }
        assert_eq!(judge("Songs of 1999", Kind::Folder), Ok(()));
        assert_eq!(judge_path("a/b c/d.txt"), Ok(()));
    }

    #[test]
    fn hidden_names_and_dots_are_not() {
        for name in [".", "..", ".bashrc", "...", ".a.txt"] {
            assert_eq!(file(name), Err(Why::Hidden), "{name}");
        }
        for path in ["../a", "a/../b", "a/./b", "a/.git/config"] {
            assert_eq!(judge_path(path), Err(Why::Hidden), "{path}");
        }
        for path in ["", "a//b", "/etc/motd", "a/", "a\0b", "a\nb", "a\x1b[2Jb"] {
            assert_eq!(judge_path(path), Err(Why::Control), "{path:?}");
        }
        assert_eq!(
            judge_path(&"a".repeat(PATH_BYTES_MAX + 1)),
            Err(Why::TooLong)
        );
    }

    #[test]
    fn keys_passwords_and_mail_are_not_shared_in_any_case() {
        for name in [
            "id_rsa",
            "ID_RSA.pub",
            "id_ed25519",
            "server.pem",
            "Server.KEY",
            "vault.kdbx",
            "wallet.dat",
            "Login Data",
            "key4.db",
            "prod.env",
            "UTC--2016-01-01--abc",
        ] {
            assert_eq!(file(name), Err(Why::Secret), "{name}");
        }
        for name in ["Archive.pst", "inbox", "x.MBOX", "letter.eml"] {
            assert_eq!(file(name), Err(Why::Mail), "{name}");
        }
        assert_eq!(judge_path("Keyrings/login.txt"), Err(Why::Secret));
        assert_eq!(judge_path("Maildir/cur/1"), Err(Why::Mail));
    }

    #[test]
    fn unfinished_downloads_are_not_shared() {
        for name in [
            "a.ogg.filbert-part",
            "a.ogg.filbert-part.json",
            "a.filbert-part.json~",
            "film.mkv.part",
            "x.crdownload",
            "y.!ut",
            "T-123456-song.mp3",
            "~$report.docx",
            "draft.txt~",
        ] {
            assert_eq!(file(name), Err(Why::Partial), "{name}");
        }
        assert_eq!(judge_path("Incomplete/a.ogg"), Err(Why::Partial));
        assert_eq!(file("incomplete"), Ok(()));
    }

    #[test]
    fn broad_folders_need_the_flag_and_the_error_names_it() {
        let home = Some(Path::new("/home/u"));
        for folder in ["/", "/home", "/home/u", "/proc/self"] {
            let error = judge_listed(Path::new(folder), home, Breadth::Ordinary).unwrap_err();
            assert!(
                error.contains("--allow-broad") && error.contains(folder),
                "{error}"
            );
            assert_eq!(judge_listed(Path::new(folder), home, Breadth::Any), Ok(()));
        }
        assert_eq!(
            judge_listed(Path::new("/home/u/Music"), home, Breadth::Ordinary),
            Ok(())
        );
        assert_eq!(
            judge_listed(Path::new("/home/user2"), home, Breadth::Ordinary),
            Ok(())
        );
        assert!(judge_listed(Path::new("/home/u/.ssh"), home, Breadth::Any).is_err());
    }
}
