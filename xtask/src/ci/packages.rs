//! The check of the packages to publish: each is complete, has a manifest that a registry accepts, and builds by
//! itself.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use xshell::{Shell, cmd};

use crate::workspace::target_dir;

/// The fields that each published manifest must have.
const FIELDS: &[&str] = &["description", "license", "readme", "rust_version"];
/// The lists that each published manifest must have.
const LISTS: &[&str] = &["keywords", "categories"];

/// Packages all members that may be published, and checks the packages as a separate workspace. Cargo's own
/// verification would compile the dependencies again for each of them.
pub(super) fn package(sh: &Shell) -> anyhow::Result<()> {
    let published = published(sh)?;
    let names: Vec<&str> = published.iter().map(|(name, _)| name.as_str()).collect();
    let chosen: Vec<String> = names.iter().map(|name| format!("--package={name}")).collect();
    cmd!(sh, "cargo package --locked --no-verify --allow-dirty {chosen...}").run()?;

    let directory = target_dir().join("package-check");
    sh.remove_path(&directory)?;
    sh.create_dir(&directory)?;
    let mut members = Vec::new();
    for (name, version) in &published {
        let archive = target_dir().join("package").join(format!("{name}-{version}.crate"));
        cmd!(sh, "tar -xzf {archive} -C {directory}").run()?;
        let member = format!("{name}-{version}");
        for file in ["Cargo.toml", "README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
            ensure!(directory.join(&member).join(file).is_file(), "the package {name} has no {file}");
        }
        members.push(member);
    }
    sh.write_file(directory.join("Cargo.toml"), workspace(sh, &published, &members)?)?;
    sh.copy_file("Cargo.lock", directory.join("Cargo.lock"))?;
    // The target directory is that of clippy, so that its results for the dependencies are reused.
    let target = target_dir();
    {
        let _there = sh.push_dir(&directory);
        cmd!(sh, "cargo check --workspace --target-dir {target}").run()?;
    }
    println!("{} packages are complete and build: {}", names.len(), names.join(", "));
    Ok(())
}

/// Returns names and versions of the members that may be published. Fails when a manifest lacks a field.
fn published(sh: &Shell) -> anyhow::Result<Vec<(String, String)>> {
    let metadata: Value = serde_json::from_str(
        &cmd!(sh, "cargo metadata --locked --no-deps --format-version 1").quiet().read()?,
    )?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let (mut published, mut wrong) = (Vec::new(), Vec::new());
    for package in packages.iter().filter(|package| package["publish"].is_null()) {
        let text = |field: &str| package[field].as_str().unwrap_or_default().to_owned();
        let name = text("name");
        wrong.extend(
            FIELDS.iter().filter(|field| text(field).is_empty()).map(|field| format!("{name}: no {field}")),
        );
        let is_empty = |list: &&&str| package[**list].as_array().is_none_or(Vec::is_empty);
        wrong.extend(LISTS.iter().filter(is_empty).map(|list| format!("{name}: no {list}")));
        if text("repository").is_empty() {
            println!("{name} names no repository yet: see RELEASING.md");
        }
        published.push((name, text("version")));
    }
    ensure!(!published.is_empty(), "no member may be published");
    if !wrong.is_empty() {
        bail!("manifests are incomplete for publication:\n{}", wrong.join("\n"));
    }
    Ok(published)
}

/// Returns the manifest of a workspace of the unpacked packages, in which they depend on each other and not on a
/// registry.
fn workspace(sh: &Shell, published: &[(String, String)], members: &[String]) -> anyhow::Result<String> {
    let own = sh.read_file(PathBuf::from("Cargo.toml"))?;
    // The profiles are the same, so that the results for the dependencies are valid.
    let profiles = own.find("\n[profile.").map_or("", |at| &own[at..]);
    let patches: String = published
        .iter()
        .zip(members)
        .map(|((name, _), member)| format!("{name} = {{ path = \"{member}\" }}\n"))
        .collect();
    Ok(format!(
        "[workspace]\nresolver = \"3\"\nmembers = {members:?}\n\n[patch.crates-io]\n{patches}{profiles}"
    ))
}
