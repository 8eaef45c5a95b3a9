//! The modules of a crate use each other without a cycle, so that they can be read one after the other.

use std::collections::{BTreeMap, BTreeSet};

/// Records which module names which others, by the first name behind `crate::`.
#[derive(Debug, Default)]
pub(super) struct Order(BTreeMap<String, BTreeSet<String>>);

/// A folder whose modules count one by one, because each of them is as large as a module at the top.
const NESTED: &str = "device";

impl Order {
    /// Records what a source file uses, given its path below `src` and its text. The crate's root may name all modules.
    pub(super) fn add(&mut self, path: &str, text: &str) {
        let mut parts = path.trim_end_matches(".rs").split('/');
        let module = match (parts.next().unwrap_or_default(), parts.next()) {
            ("lib" | "main" | "", _) => return,
            (NESTED, None | Some("mod")) => return,
            (NESTED, Some(inner)) => format!("{NESTED}::{inner}"),
            (module, _) => module.to_owned(),
        };
        // Tests may look at anything.
        if path.ends_with("/tests.rs") || path.contains("/tests/") {
            return;
        }
        let code = code(text);
        let uses = self.0.entry(module.clone()).or_default();
        for (at, _) in code.match_indices("crate::") {
            let is_word = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
            if !is_word {
                uses.extend(names(&code[at + "crate::".len()..]));
            }
        }
        uses.remove(&module);
    }

    /// Returns modules that name a type by its re-export at the crate's root, which hides the module that defines it.
    pub(super) fn through_the_root(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_type = |name: &&String| name.starts_with(|c: char| c.is_uppercase());
        self.0.iter().flat_map(move |(module, uses)| {
            uses.iter().filter(is_type).map(|name| (module.as_str(), name.as_str()))
        })
    }

    /// Modules that use each other in a circle: `a -> b -> a`. Empty when there is none.
    pub(super) fn cycle(&self) -> Vec<&str> {
        let mut done = BTreeSet::new();
        for module in self.0.keys() {
            let mut path = Vec::new();
            if self.descend(module, &mut path, &mut done) {
                return path;
            }
        }
        Vec::new()
    }

    /// Whether a cycle was found, which is what `path` holds then.
    fn descend<'a>(&'a self, module: &'a str, path: &mut Vec<&'a str>, done: &mut BTreeSet<&'a str>) -> bool {
        if let Some(at) = path.iter().position(|other| *other == module) {
            path.drain(..at);
            path.push(module);
            return true;
        }
        // What is no module, such as a type of the root, uses nothing.
        let Some(uses) = self.0.get(module) else { return false };
        if !done.contains(module) {
            path.push(module);
            for used in uses {
                if self.descend(used, path, done) {
                    return true;
                }
            }
            path.pop();
            done.insert(module);
        }
        false
    }
}

/// The text without comments and without the unit tests at its end.
fn code(text: &str) -> String {
    let tests = text
        .find("#[cfg(test)]\nmod ")
        .filter(|at| !text[*at..].lines().nth(1).is_some_and(|l| l.ends_with(';')));
    let text = &text[..tests.unwrap_or(text.len())];
    let lines: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    lines.join("\n")
}

/// Returns the modules at the front of a path, or of each path of a list in braces.
fn names(path: &str) -> Vec<String> {
    let mut names = Vec::new();
    for path in alternatives(path) {
        let name: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        match path[name.len()..].strip_prefix("::") {
            Some(inner) if name == NESTED => {
                let inner = alternatives(inner);
                names.extend(
                    inner.iter().flat_map(|path| self::names(path)).map(|inner| format!("{NESTED}::{inner}")),
                );
            }
            _ => names.push(name),
        }
    }
    names
}

/// Returns the paths of a list in braces, or the one path that there is.
fn alternatives(path: &str) -> Vec<&str> {
    let Some(list) = path.strip_prefix('{') else { return vec![path] };
    let (mut depth, mut from, mut paths) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                paths.push(list[from..at].trim());
                from = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => (),
        }
    }
    paths.retain(|path| !path.is_empty());
    paths
}

#[cfg(test)]
mod tests {
    use super::Order;

    fn order(files: &[(&str, &str)]) -> Order {
        let mut order = Order::default();
        for (path, text) in files {
            order.add(path, text);
        }
        order
    }

    #[test]
    fn a_cycle_is_found_and_named() {
        let files = [
            ("main.rs", "use crate::top;"),
            ("top.rs", "use crate::{flags, middle::{one, two}};"),
            ("middle/one.rs", "fn f() { crate::bottom::g() }"),
            ("bottom.rs", "// crate::top is above\nuse crate::flags;"),
        ];
        assert!(order(&files).cycle().is_empty());
        let mut files = files.to_vec();
        files.push(("bottom/deep.rs", "use crate::{\n    flags,\n    top::Thing,\n};"));
        let order = order(&files);
        let cycle = order.cycle();
        assert_eq!(cycle.first(), cycle.last());
        let members: std::collections::BTreeSet<_> = cycle.into_iter().collect();
        assert_eq!(members, ["top", "middle", "bottom"].into());
    }

    #[test]
    fn tests_may_look_at_anything() {
        let bottom = "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use crate::top;\n}\n";
        assert!(order(&[("top.rs", "use crate::bottom;"), ("bottom.rs", bottom)]).cycle().is_empty());
        let bottom = "#[cfg(test)]\nmod tests;\nuse crate::top;\n";
        assert!(!order(&[("top.rs", "use crate::bottom;"), ("bottom.rs", bottom)]).cycle().is_empty());
    }

    #[test]
    fn the_modules_of_the_device_count_one_by_one() {
        let files = [
            ("device/compression/mod.rs", "use crate::device::{inflight::Ring, memory};"),
            ("device/inflight.rs", "use crate::device::memory::Slab;"),
            ("top.rs", "use crate::{device::compression, device};"),
        ];
        assert!(order(&files).cycle().is_empty());
        let mut files = files.to_vec();
        files.push(("device/memory/mod.rs", "use crate::device::compression::Session;"));
        let order = order(&files);
        let cycle = order.cycle();
        assert_eq!(cycle.first(), cycle.last());
        assert!(cycle.contains(&"device::compression") && cycle.contains(&"device::memory"), "{cycle:?}");
    }

    #[test]
    fn types_are_named_by_their_modules() {
        let order = order(&[("a.rs", "use crate::{b, Error};"), ("b.rs", "")]);
        assert_eq!(order.through_the_root().collect::<Vec<_>>(), [("a", "Error")]);
    }
}
