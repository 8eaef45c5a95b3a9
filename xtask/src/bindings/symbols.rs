//! `cargo xtask symbols`: lists the C functions, the release that introduced each, the header that declares it, and
//! whether `qat` wraps it.

mod groups;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use object::{Object as _, ObjectSymbol as _};
use xshell::Shell;

#[cfg(feature = "bindgen")]
pub(crate) use groups::Group;
pub(crate) use groups::{BASELINE, GROUPS};

use super::FUNCTIONS;
use crate::flags;
use crate::libqat::{self, RELEASES, Release, headers};
use crate::workspace::{ensure_file_contents, project_root};

/// The committed table.
const TABLE: &str = "qat-sys/SYMBOLS.md";

impl flags::Symbols {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        let newest = RELEASES.last().expect("at least one release");
        let declared = declarations(sh, newest)?;
        let table = table(&declared, &wrapped(sh)?);
        ensure_file_contents(sh, TABLE, &table, self.check, "cargo xtask symbols")?;
        let mut wrong = against_bindings(&declared)?;
        for release in RELEASES {
            wrong.extend(against_library(sh, release, &declared)?);
        }
        if !wrong.is_empty() {
            bail!(
                "the symbol groups in xtask/src/bindings/symbols/groups.rs are wrong:\n{}",
                wrong.join("\n")
            );
        }
        eprintln!(
            "{} functions agree with the libraries of {}",
            declared.len() - groups::NOT_EXPORTED.len(),
            RELEASES.iter().map(|release| release.name).collect::<Vec<_>>().join(" and ")
        );
        Ok(())
    }
}

/// Returns the functions that the headers of a release declare, each with its header.
pub(crate) fn declarations(sh: &Shell, release: &Release) -> anyhow::Result<BTreeMap<String, String>> {
    let dir = headers::directory(sh, release)?;
    let mut declared = BTreeMap::new();
    for header in headers::files(sh, &dir)? {
        let text = without_comments(&sh.read_file(dir.join(&header))?);
        let mut rest = text.as_str();
        while let Some(at) = rest.find('(') {
            let name = rest[..at].trim_end().rsplit(|c: char| !c.is_alphanumeric() && c != '_').next();
            if let Some(name) = name.filter(|name| is_ours(name)) {
                declared.insert(name.to_owned(), header.clone());
            }
            rest = &rest[at + 1..];
        }
    }
    Ok(declared)
}

/// Returns whether a function with this name belongs to libqat or libusdm.
fn is_ours(name: &str) -> bool {
    ["cpa", "icp_sal", "qae"].iter().any(|prefix| name.starts_with(prefix))
}

fn without_comments(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("/*") {
        result += &rest[..start];
        rest = rest[start..].find("*/").map_or("", |end| &rest[start + end + 2..]);
    }
    result + rest
}

/// Returns the text of all files in `qat/src/raw`, the only code that calls C functions.
fn wrapped(sh: &Shell) -> anyhow::Result<String> {
    let mut text = String::new();
    let mut paths = vec![project_root().join("qat/src/raw"), project_root().join("qat/src/raw.rs")];
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(sh.read_dir(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") && path.exists() {
            text += &sh.read_file(&path)?;
        }
    }
    Ok(text)
}

fn names_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part))
}

fn table(declared: &BTreeMap<String, String>, raw: &str) -> String {
    let mut rows = String::new();
    let (mut bound, mut wrapped) = (0, 0);
    for (name, header) in declared {
        let Some(place) = place(name) else { continue };
        let is_wrapped = names_word(raw, name);
        bound += 1;
        wrapped += usize::from(is_wrapped);
        let since = if place.since == BASELINE { format!("≤ {BASELINE}") } else { place.since.to_owned() };
        let group = place.group.unwrap_or("required");
        let used = if is_wrapped { "wrapped" } else { "raw" };
        rows += &format!("| `{name}` | `{header}` | {since} | {group} | {used} |\n");
    }
    let mut text = format!(
        "# C functions\n\n\
         Written by `cargo xtask symbols`. *Since* is the first qatlib release whose library exports the function; \
         *place* is\nthe field of `qat_sys::Symbols` that holds it, or `required` for a field of its own without \
         which loading fails; *wrapped*\nmeans that the crate `qat` calls it, *raw* that only `qat-sys` has it.\n\n\
         {bound} functions, {wrapped} of them wrapped.\n\n\
         | function | header | since | place | qat |\n|---|---|---|---|---|\n{rows}"
    );
    for (title, list) in [
        ("Declared, but exported by no release: not bound", groups::NOT_EXPORTED),
        ("Exported, but in no installed header: not bound", groups::NOT_DECLARED),
    ] {
        text += &format!("\n## {title}\n\n| function | reason |\n|---|---|\n");
        for (name, reason) in list {
            text += &format!("| `{name}` | {reason} |\n");
        }
    }
    text
}

/// Returns whether the symbol table contains a declared function.
pub(crate) fn is_bound(name: &str) -> bool {
    place(name).is_some()
}

/// The position of a function in the symbol table.
#[derive(Clone, Copy)]
struct Place {
    /// The group; `None` for a required function.
    group: Option<&'static str>,
    since: &'static str,
}

fn place(name: &str) -> Option<Place> {
    if groups::NOT_EXPORTED.iter().any(|(other, _)| *other == name) {
        return None;
    }
    let group = GROUPS.iter().find(|group| group.functions.contains(&name));
    Some(group.map_or(Place { group: None, since: BASELINE }, |group| Place {
        group: Some(group.field),
        since: group.since,
    }))
}

/// Checks that the generated table binds exactly what the headers declare, except for the listed exceptions.
fn against_bindings(declared: &BTreeMap<String, String>) -> anyhow::Result<Vec<String>> {
    let text = fs::read_to_string(project_root().join(FUNCTIONS))?;
    let bound: BTreeSet<&str> =
        text.lines().filter_map(|line| line.trim().strip_prefix("fn ")?.split('(').next()).collect();
    let expected: BTreeSet<&str> =
        declared.keys().map(String::as_str).filter(|name| place(name).is_some()).collect();
    let unbound = expected.difference(&bound).map(|name| format!("{name} is declared, but not bound"));
    let unknown = bound.difference(&expected).map(|name| format!("{name} is bound, but not declared"));
    Ok(unbound.chain(unknown).collect())
}

/// Checks that the libraries of the release export exactly what the groups state.
fn against_library(
    sh: &Shell,
    release: &Release,
    declared: &BTreeMap<String, String>,
) -> anyhow::Result<Vec<String>> {
    let dir = libqat::libraries(sh, release)?;
    let mut exported = exports(&dir.join("libqat.so.4"))?;
    exported.extend(exports(&dir.join("libusdm.so.0"))?);
    let mut wrong = Vec::new();
    for name in declared.keys() {
        let is_expected = place(name).is_some_and(|place| place.since <= release.name);
        match (is_expected, exported.contains(name)) {
            (true, false) => wrong.push(format!("{} does not export {name}", release.name)),
            (false, true) => wrong.push(format!("{} already exports {name}", release.name)),
            _ => (),
        }
    }
    let is_known = |name: &&String| {
        declared.contains_key(*name) || groups::NOT_DECLARED.iter().any(|(other, _)| other == name)
    };
    let unknown = exported.iter().filter(|name| is_ours(name) && !is_known(name));
    wrong.extend(unknown.map(|name| format!("{} exports {name}, which no header declares", release.name)));
    Ok(wrong)
}

/// Returns the names that the dynamic symbol table of a library defines.
fn exports(library: &Path) -> anyhow::Result<BTreeSet<String>> {
    let data = fs::read(library).with_context(|| format!("cannot read {}", library.display()))?;
    let file =
        object::File::parse(&*data).with_context(|| format!("{} is not a library", library.display()))?;
    let defined = file.dynamic_symbols().filter(|symbol| symbol.is_definition());
    defined.map(|symbol| Ok(symbol.name()?.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::{names_word, without_comments};

    #[test]
    fn comments_declare_nothing() {
        assert_eq!(without_comments("a /* cpaX() */ b /** c */ d /* open"), "a  b  d ");
    }

    #[test]
    fn a_longer_name_is_another_word() {
        assert!(names_word("symbols.cpaDcCompressData(x)", "cpaDcCompressData"));
        assert!(!names_word("symbols.cpaDcCompressData2(x)", "cpaDcCompressData"));
    }
}
