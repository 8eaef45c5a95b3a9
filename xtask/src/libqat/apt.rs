//! Debian packages of a suite other than the machine's own. They are downloaded with the machine's apt and verified
//! against the pins. Nothing is installed, and apt's own state is not changed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use xshell::{Shell, cmd};

use super::pins::Package;
use crate::tools;
use crate::workspace::target_dir;

/// The file in an unpacked tree that lists the packages in it.
const STAMP: &str = ".packages";

/// Unpacks `pinned`, and the current versions of `unpinned` in the suite, to `root`, unless `root` contains them
/// already.
pub(crate) fn unpack(
    sh: &Shell,
    root: &Path,
    suite: &str,
    pinned: &[&Package],
    unpinned: &[&str],
) -> anyhow::Result<()> {
    let mut stamp = String::new();
    for Package { name, version, sha256 } in pinned {
        stamp += &format!("{name} {version} {sha256}\n");
    }
    for name in unpinned {
        stamp += &format!("{name} from {suite}\n");
    }
    if fs::read_to_string(root.join(STAMP)).is_ok_and(|found| found == stamp) {
        return Ok(());
    }

    tools::need(sh, &["apt-get", "dpkg-deb"])?;
    let mut apt = Apt { sh, suite, dir: target_dir().join("apt"), options: None };
    let mut files = Vec::new();
    for package in pinned {
        files.push(apt.pinned(package)?);
    }
    for name in unpinned {
        files.push(apt.latest(name)?);
    }

    let partial = root.with_extension("partial");
    sh.remove_path(&partial)?;
    sh.create_dir(&partial)?;
    for file in files {
        cmd!(sh, "dpkg-deb -x {file} {partial}").quiet().run()?;
    }
    fs::write(partial.join(STAMP), stamp)?;
    sh.remove_path(root)?;
    fs::rename(&partial, root)?;
    Ok(())
}

/// Returns the SHA-256 of a file as lower-case hexadecimal digits.
pub(crate) fn sha256(sh: &Shell, file: &Path) -> anyhow::Result<String> {
    let line = cmd!(sh, "sha256sum {file}").quiet().read()?;
    Ok(line.split_whitespace().next().unwrap_or_default().to_owned())
}

/// An apt with a state of its own, configured for one suite.
struct Apt<'a> {
    sh: &'a Shell,
    suite: &'a str,
    dir: PathBuf,
    /// The options of apt; `None` until the package lists were downloaded.
    options: Option<Vec<String>>,
}

impl Apt<'_> {
    fn pinned(&mut self, package: &Package) -> anyhow::Result<PathBuf> {
        let Package { name, version, sha256: expected } = *package;
        let file = self.dir.join(format!("{name}_{version}_amd64.deb"));
        if !file.exists() {
            self.download(&format!("{name}={version}")).with_context(|| {
                format!(
                    "{name} {version} cannot be had from the suite {}; put the package with SHA-256 {expected} at {}, \
                     or pin the version that the suite has now in xtask/src/pins.rs",
                    self.suite,
                    file.display()
                )
            })?;
        }
        let found = sha256(self.sh, &file)?;
        ensure!(found == expected, "{} has SHA-256 {found}, pinned is {expected}: delete it", file.display());
        Ok(file)
    }

    fn latest(&mut self, name: &str) -> anyhow::Result<PathBuf> {
        let suite = self.suite;
        // Each suite has its own directory, because the same package has different versions.
        let dir = self.dir.join(suite).join("debs").join(name);
        self.sh.remove_path(&dir)?;
        self.sh.create_dir(&dir)?;
        let _guard = self.sh.push_dir(&dir);
        self.download_here(&format!("{name}:amd64"))
            .with_context(|| format!("cannot download {name} from the suite {suite}"))?;
        self.sh.read_dir(&dir)?.pop().with_context(|| format!("apt-get downloaded no file for {name}"))
    }

    fn download(&mut self, what: &str) -> anyhow::Result<()> {
        let _guard = self.sh.push_dir(&self.dir);
        self.download_here(what)
    }

    fn download_here(&mut self, what: &str) -> anyhow::Result<()> {
        let sh = self.sh;
        if self.options.is_none() {
            self.options = Some(self.update()?);
        }
        let options = self.options.iter().flatten();
        Ok(cmd!(sh, "apt-get {options...} -qq download {what}").quiet().ignore_stdout().run()?)
    }

    /// Downloads the package lists of the suite to a separate state directory.
    fn update(&self) -> anyhow::Result<Vec<String>> {
        let sh = self.sh;
        let state = self.dir.join(self.suite);
        for dir in ["lists/partial", "cache/archives/partial"] {
            sh.create_dir(state.join(dir))?;
        }
        let (extension, text) = source_list(self.suite)?;
        let list = state.join(format!("suite.{extension}"));
        fs::write(&list, text)?;
        let option = |name: &str, value: &Path| format!("-o{name}={}", value.display());
        let mut options = vec![
            option("Dir::State", &state),
            option("Dir::Cache", &state.join("cache")),
            option("Dir::Etc::SourceList", &list),
        ];
        let fixed = [
            "Dir::Etc::SourceParts=/dev/null",
            "Dir::Etc::PreferencesParts=/dev/null",
            "Dir::State::Status=/dev/null",
            "APT::Architecture=amd64",
            "APT::Architectures=amd64",
            "APT::Sandbox::User=root",
            // Without this option, an update that downloaded nothing is a success.
            "APT::Update::Error-Mode=any",
            "Acquire::Retries=3",
            "Acquire::Languages=none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
        ];
        options.extend(fixed.map(|fixed| format!("-o{fixed}")));
        let given = &options;
        cmd!(sh, "apt-get {given...} -qq update")
            .quiet()
            .run()
            .with_context(|| format!("apt-get cannot read the suite {}", self.suite))?;
        Ok(options)
    }
}

/// Returns the extension and the content of a source list for `suite`, derived from the machine's own source list.
fn source_list(suite: &str) -> anyhow::Result<(&'static str, String)> {
    let os = fs::read_to_string("/etc/os-release").context("not a Linux distribution")?;
    let os_field = |name: &str| {
        os.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(|v| v.trim_matches('"'))
    };
    let (id, codename) = (os_field("ID"), os_field("VERSION_CODENAME"));
    if id != Some("debian") {
        bail!("only Debian carries the suite {suite}; this is {}", id.unwrap_or("unknown"));
    }
    let codename = codename.context("/etc/os-release names no VERSION_CODENAME")?;

    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(parts) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(parts.filter_map(|entry| Some(entry.ok()?.path())));
    }
    files.sort();
    files
        .iter()
        .filter_map(|file| {
            let text = fs::read_to_string(file).ok()?;
            match file.extension()?.to_str()? {
                "list" => Some(("list", one_line(&text, codename, suite)?)),
                "sources" => Some(("sources", deb822(&text, codename, suite)?)),
                _ => None,
            }
        })
        .next()
        .with_context(|| {
            format!(
                "the apt sources have no entry for {codename} from which one for {suite} could be derived"
            )
        })
}

/// Finds `deb [options] URI codename main`, and replaces the code name by `suite`.
fn one_line(text: &str, codename: &str, suite: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let before = line.trim().strip_prefix("deb ")?.trim_start();
        let (options, rest) = match before.strip_prefix('[') {
            Some(_) => before.split_at(before.find(']')? + 1),
            None => ("", before),
        };
        let mut words = rest.split_whitespace();
        let uri = words.next()?;
        let own = words.next()? == codename && words.any(|component| component == "main");
        own.then(|| format!("deb {options} {uri} {suite} main\n"))
    })
}

/// Finds the stanza for `codename`, and returns it with the suite and the component replaced.
fn deb822(text: &str, codename: &str, suite: &str) -> Option<String> {
    text.split("\n\n").find_map(|stanza| {
        let field = |name: &str| {
            stanza.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then_some(value)
            })
        };
        let has =
            |name: &str, word: &str| field(name).is_some_and(|v| v.split_whitespace().any(|w| w == word));
        if !has("Types", "deb")
            || !has("Suites", codename)
            || !has("Components", "main")
            || has("Enabled", "no")
        {
            return None;
        }
        let replaced = ["types", "suites", "components"];
        let mut kept = format!("Types: deb\nSuites: {suite}\nComponents: main\n");
        for line in stanza.lines().filter(|line| !line.starts_with('#')) {
            let key = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            if !replaced.contains(&key.as_str()) {
                kept += line;
                kept.push('\n');
            }
        }
        Some(kept)
    })
}

#[cfg(test)]
mod tests {
    use super::{deb822, one_line};

    const KEYRING: &str = "/usr/share/keyrings/some.gpg";

    #[test]
    fn one_line_sources_keep_their_options() {
        let text = format!(
            "# deb http://a/debian bookworm main\ndeb http://a/security bookworm-security main\n\
             deb [signed-by={KEYRING} arch=amd64] http://a/debian bookworm main contrib\n"
        );
        let expected = format!("deb [signed-by={KEYRING} arch=amd64] http://a/debian sid main\n");
        assert_eq!(one_line(&text, "bookworm", "sid"), Some(expected));
        assert_eq!(one_line(&text, "trixie", "sid"), None);
    }

    #[test]
    fn deb822_stanzas_keep_their_other_fields() {
        let text = format!(
            "Types: deb\nURIs: http://a/security\nSuites: bookworm-security\nComponents: main\n\n\
             Types: deb deb-src\n# a comment\nURIs: http://a/debian\nSuites: bookworm bookworm-updates\n\
             Components: main contrib\nSigned-By: {KEYRING}\n"
        );
        let expected = format!(
            "Types: deb\nSuites: sid\nComponents: main\nURIs: http://a/debian\nSigned-By: {KEYRING}\n"
        );
        assert_eq!(deb822(&text, "bookworm", "sid"), Some(expected));
        let disabled = text.replace("Signed-By", "Enabled: no\nSigned-By");
        assert_eq!(deb822(&disabled, "bookworm", "sid"), None);
    }
}
