//! Where fetched files go when nothing was said.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::disk::store::Home;

/// What of the environment decides.
#[derive(Clone, Debug, Default)]
struct Env {
    home: Option<OsString>,
    download_dir: Option<OsString>,
    config_home: Option<OsString>,
}

/// The download folder: that of the node of this home (`share --downloads`), else `downloads` in a home of its
/// own, else `$XDG_DOWNLOAD_DIR`, else the one the desktop uses, else `~/Downloads`.
///
/// `None`: there is no home folder to derive it from.
pub fn downloads(home: &Home) -> Option<PathBuf> {
    let env = Env {
        home: std::env::var_os("HOME"),
        download_dir: std::env::var_os("XDG_DOWNLOAD_DIR"),
        config_home: std::env::var_os("XDG_CONFIG_HOME"),
    };
    noted(home).or_else(|| own(home)).or_else(|| desktop(&env))
}

/// File in the home that holds the folder named with `share --downloads`.
fn note(home: &Home) -> PathBuf {
    home.state().join("downloads-folder")
}

/// Remembers the folder for later commands of this home.
///
/// # Errors
/// The home cannot be written, or the folder is not to be found.
pub fn remember(home: &Home, folder: &Path) -> std::io::Result<()> {
    let folder = std::path::absolute(folder)?;
    std::fs::write(note(home), folder.as_os_str().as_encoded_bytes())
}

fn noted(home: &Home) -> Option<PathBuf> {
    let text = std::fs::read(note(home)).ok()?;
    let path = PathBuf::from(String::from_utf8(text).ok()?);
    path.is_absolute().then_some(path)
}

/// With `--home`, data and state lie in one folder, and so do downloads.
fn own(home: &Home) -> Option<PathBuf> {
    (home.data() == home.state()).then(|| home.data().join("downloads"))
}

fn desktop(env: &Env) -> Option<PathBuf> {
    let user = PathBuf::from(env.home.as_ref().filter(|home| !home.is_empty())?);
    let absolute = |path: &OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    if let Some(folder) = env.download_dir.as_ref().and_then(absolute) {
        return Some(folder);
    }
    let config = env
        .config_home
        .as_ref()
        .and_then(absolute)
        .unwrap_or_else(|| user.join(".config"));
    let dirs = std::fs::read_to_string(config.join("user-dirs.dirs")).unwrap_or_default();
    Some(in_user_dirs(&dirs, &user).unwrap_or_else(|| user.join("Downloads")))
}

/// `XDG_DOWNLOAD_DIR="$HOME/Downloads"`. Source: xdg-user-dirs, user-dirs.dirs(5).
fn in_user_dirs(text: &str, user: &Path) -> Option<PathBuf> {
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("XDG_DOWNLOAD_DIR="))?;
    let value = line.trim().trim_matches('"');
    match value.strip_prefix("$HOME/") {
        Some(below) => Some(user.join(below)),
        None => Some(PathBuf::from(value)).filter(|path| path.is_absolute()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_of_its_own_keeps_downloads_too_unless_the_node_says_where() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let home = Home::at(dir.path()).expect("a home");
        home.create().expect("made");
        assert_eq!(downloads(&home), Some(home.data().join("downloads")));
        remember(&home, Path::new("/elsewhere")).expect("written");
        assert_eq!(downloads(&home), Some(PathBuf::from("/elsewhere")));
    }

    #[test]
    fn else_the_folder_of_the_desktop_is_taken() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let env = Env {
            home: Some(dir.path().into()),
            ..Env::default()
        };
        assert_eq!(desktop(&env), Some(dir.path().join("Downloads")));
        std::fs::create_dir(dir.path().join(".config")).expect("made");
        let dirs = "# comment\nXDG_DOWNLOAD_DIR=\"$HOME/Geladen\"\n";
        std::fs::write(dir.path().join(".config/user-dirs.dirs"), dirs).expect("written");
        assert_eq!(desktop(&env), Some(dir.path().join("Geladen")));
        let named = Env {
            download_dir: Some("/srv/in".into()),
            ..env
        };
        assert_eq!(desktop(&named), Some(PathBuf::from("/srv/in")));
        assert_eq!(desktop(&Env::default()), None);
    }
}
