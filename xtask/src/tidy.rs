//! `cargo xtask tidy`: the rules that no compiler checks, each with the text that says why.

mod order;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use xshell::{Shell, cmd};

use crate::flags;
use crate::workspace::project_root;

impl flags::Tidy {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        // A container may own the checkout as somebody else, which git would refuse to read.
        let git = ["-c", "safe.directory=*"];
        let files = cmd!(sh, "git {git...} ls-files --cached --others --exclude-standard").quiet().read()?;
        let root = project_root();
        let files: Vec<PathBuf> =
            files.lines().map(PathBuf::from).filter(|file| root.join(file).exists()).collect();
        let mut complaints = dependencies(root)?;
        let mut orders: BTreeMap<&str, order::Order> = BTreeMap::new();
        for file in &files {
            let Ok(text) = fs::read_to_string(root.join(file)) else { continue };
            complaints.extend(words(file, &text));
            if file.extension().is_some_and(|end| end == "rs") {
                complaints.extend(source(file, &text));
            }
            let name = file.to_string_lossy();
            for member in ORDERED {
                if let Some(path) = name.strip_prefix(member).and_then(|path| path.strip_prefix("/src/")) {
                    orders.entry(member).or_default().add(path, &text);
                }
            }
        }
        for (member, order) in &orders {
            // In the small crates the root's names are the usual way to write a type.
            for (module, name) in order.through_the_root().filter(|_| *member == "qat") {
                complaints
                    .push(format!("{member}: {module} names crate::{name}: name the module that defines it"));
            }
            let cycle = order.cycle();
            if !cycle.is_empty() {
                complaints
                    .push(format!("{member}: modules use each other in a circle: {}", cycle.join(" -> ")));
            }
        }
        for document in DOCUMENTS {
            if !files.iter().any(|file| file == Path::new(document)) {
                complaints.push(format!("{document} is missing"));
            }
        }
        if complaints.is_empty() {
            return Ok(());
        }
        bail!("{} complaints:\n{}", complaints.len(), complaints.join("\n"))
    }
}

const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "BENCHMARKS.md",
    "LIMITS.md",
    "RELEASING.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "deny.toml",
    ".ci/run",
];

/// Which members each member may depend on.
const DEPENDENCIES: &[(&str, &[&str])] = &[
    ("accel-core", &[]),
    ("capability-registry", &[]),
    ("qat-sys", &[]),
    ("qat", &["accel-core", "capability-registry", "qat-sys"]),
    ("qat-cli", &["accel-core", "qat"]),
    ("qat-emu", &[]),
    ("xtask", &[]),
];

fn dependencies(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut complaints = Vec::new();
    for (member, allowed) in DEPENDENCIES {
        let manifest = fs::read_to_string(root.join(member).join("Cargo.toml"))
            .with_context(|| format!("{member} has no Cargo.toml"))?;
        // Dependencies for tests may cross: they are not part of what a user gets.
        let sections = manifest.split("\n[").filter(|section| {
            section.starts_with("dependencies") || section.starts_with("build-dependencies")
        });
        for line in sections.flat_map(str::lines) {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if DEPENDENCIES.iter().any(|(other, _)| *other == name) && !allowed.contains(&name) {
                complaints.push(format!("{member}/Cargo.toml: {member} must not depend on {name}"));
            }
        }
    }
    Ok(complaints)
}

/// What must not stand in any file of the repository. Split, so that this file passes its own check.
fn forbidden() -> BTreeMap<String, &'static str> {
    let join = |parts: [&str; 2]| parts.concat();
    BTreeMap::from([
        (join(["deb.debian", ".org"]), "derive package sources from the machine's own configuration"),
        (join(["files.pythonhosted", ".org"]), "name packages, not hosts"),
        (join(["../sha", "red"]), "the project's documents stand on their own"),
        (join(["todo", "!("]), "finish it, or leave it out"),
        (join(["unimplemented", "!("]), "finish it, or leave it out"),
        (join(["FIX", "ME"]), "finish it, or say it in the README's limits"),
    ])
}

fn words(file: &Path, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for (word, why) in forbidden() {
        for (number, _) in text.lines().enumerate().filter(|(_, line)| line.contains(&word)) {
            complaints.push(format!("{}:{}: {word}: {why}", file.display(), number + 1));
        }
    }
    complaints
}

/// Members whose modules form no cycle.
const ORDERED: &[&str] =
    &["accel-core", "capability-registry", "qat", "qat-cli", "qat-emu", "qat-sys", "xtask"];

const LONGEST_MODULE: usize = 800;
const LONGEST_LIB: usize = 120;
/// Where `unsafe` may stand: the modules that touch C or device memory, and tests of them.
const UNSAFE_MODULES: &[&str] = &[
    "qat-sys/",
    "qat/src/raw/",
    "qat/src/device/memory/",
    "qat/src/device/inflight/",
    "qat/src/device/lifecycle/",
    "qat/src/process.rs",
    "qat/src/software/wipe.rs",
    "qat/src/accelerator/tests.rs",
    "qat-emu/src/",
    "qat-emu/tests/",
    "qat/tests/",
    "qat/benches/",
    "qat-cli/src/signals.rs",
    "qat-cli/src/standard.rs",
    "qat-cli/tests/",
];
const GENERATED: &[&str] = &["qat-sys/src/bindings.rs", "qat-sys/src/functions.rs"];

fn source(file: &Path, text: &str) -> Vec<String> {
    let name = file.to_string_lossy().replace('\\', "/");
    let mut complaints = Vec::new();
    let mut complain = |line: usize, what: &str| complaints.push(format!("{name}:{line}: {what}"));
    if GENERATED.contains(&name.as_str()) {
        return complaints;
    }
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > LONGEST_MODULE {
        complain(lines.len(), "a module has at most 800 lines: split it");
    }
    let code = lines.iter().filter(|line| !line.trim_start().starts_with("//") && !line.trim().is_empty());
    if name.ends_with("src/lib.rs") && code.count() > LONGEST_LIB {
        complain(1, "lib.rs is contents: at most 120 lines of code");
    }
    if !text.starts_with("//!") && !name.starts_with("fuzz/") {
        complain(1, "a module begins with its documentation");
    }
    let may_be_unsafe = UNSAFE_MODULES.iter().any(|module| name.starts_with(module));
    for (i, line) in lines.iter().enumerate() {
        let line = line.trim_start();
        if line.starts_with("//") {
            continue;
        }
        let has_block =
            line.contains("unsafe {") || line.contains("unsafe impl") || line.contains("unsafe extern");
        if has_block && !may_be_unsafe && !name.starts_with("xtask/") {
            complain(i + 1, "unsafe code stands in the modules that ARCHITECTURE.md names");
        }
        if line.starts_with(&["#[", "ignore"].concat()) {
            complain(i + 1, "a test that does not run proves nothing");
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let sh = Shell::new().unwrap();
        sh.change_dir(project_root());
        flags::Tidy {}.run(&sh).unwrap();
    }

    #[test]
    fn complaints_are_made() {
        let bad = format!("//! Module.\nfn f() {{ {}) }}\n", ["todo", "!("].concat());
        assert_eq!(words(Path::new("a.rs"), &bad).len(), 1);
        let unsafe_code = "//! Module.\nfn f() { unsafe { g() } }\n";
        assert_eq!(source(Path::new("qat/src/routing/mod.rs"), unsafe_code).len(), 1);
        assert_eq!(source(Path::new("qat/src/raw/dc.rs"), unsafe_code).len(), 0);
        assert_eq!(source(Path::new("qat/src/routing/mod.rs"), "fn f() {}\n").len(), 1);
        let long = format!("//! Module.\n{}", "\n".repeat(801));
        assert_eq!(source(Path::new("qat/src/routing/mod.rs"), &long).len(), 1);
    }
}
