//! The differences of the C interface between two releases: sizes, alignments, offsets, constants, signatures.

use std::collections::{BTreeMap, BTreeSet};

use quote::ToTokens;
use syn::{Expr, ForeignItem, Item, Lit, Stmt};

/// The facts about the interface that a caller is compiled against: the name of each fact, and its value.
pub(crate) type Facts = BTreeMap<String, String>;

/// The known differences between the oldest and the newest pinned release, and their consequences for a caller.
const KNOWN: &[(&str, &str)] = &[
    ("constant CPA_CY_API_VERSION_NUM_MAJOR", "the crypto API grew"),
    ("constant CPA_CY_API_VERSION_NUM_MINOR", "the crypto API grew"),
    ("constant CPA_DC_API_VERSION_NUM_MAJOR", "the compression API grew"),
    ("constant CPA_DC_API_VERSION_NUM_MINOR", "the compression API grew"),
    (
        "constant SAL_INFO2_DRIVER_SW_VERSION_MAJ_NUMBER",
        "removed; it is the version of the headers and not part of the interface",
    ),
    (
        "constant SAL_INFO2_DRIVER_SW_VERSION_MIN_NUMBER",
        "removed; it is the version of the headers and not part of the interface",
    ),
    (
        "constant SAL_INFO2_DRIVER_SW_VERSION_PATCH_NUMBER",
        "removed; it is the version of the headers and not part of the interface",
    ),
    (
        "constant SAL_INFO2_DRIVER_SW_VERSION_TYPE",
        "removed; it is the version of the headers and not part of the interface",
    ),
];

/// Fails unless every fact in `old` has the same value in `new`, except for the known differences.
pub(crate) fn compare(old: &Facts, new: &Facts) -> anyhow::Result<()> {
    let differences: BTreeMap<&str, String> = old
        .iter()
        .filter(|(key, value)| new.get(*key) != Some(value))
        .map(|(key, value)| {
            let now = new.get(key).map_or("gone", String::as_str);
            (key.as_str(), format!("{key}: was {value}, now {now}"))
        })
        .collect();
    let is_known = |key: &str| KNOWN.iter().any(|(known, _)| *known == key);
    let unexpected =
        differences.iter().filter(|(key, _)| !is_known(key)).map(|(_, difference)| difference.clone());
    let obsolete = KNOWN
        .iter()
        .filter(|(known, _)| !differences.contains_key(known))
        .map(|(known, _)| format!("{known}: listed as different, but the same"));
    let wrong: Vec<String> = unexpected.chain(obsolete).collect();
    anyhow::ensure!(
        wrong.is_empty(),
        "KNOWN in xtask/src/bindings/layout.rs is wrong:\n{}",
        wrong.join("\n")
    );
    eprintln!(
        "{} facts of the interface agree, {} differ as known",
        old.len() - differences.len(),
        differences.len()
    );
    Ok(())
}

/// Returns the facts in the output of bindgen. C tags (`_CpaX`, `CpaX_t`) are replaced by the names of their typedefs,
/// because they differ between releases and callers do not use them.
pub(crate) fn facts(file: &syn::File) -> Facts {
    let typedefs = typedefs(file);
    let untag = |text: String| {
        let mut result = String::new();
        for word in text.split_inclusive(|c: char| !c.is_alphanumeric() && c != '_') {
            let name = word.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '_');
            let (tag, anonymous) = name.split_at(name.find("__bindgen").unwrap_or(name.len()));
            result += typedefs.get(tag).map_or(tag, String::as_str);
            result += anonymous;
            result += &word[name.len()..];
        }
        result
    };
    let is_typedef = |key: &str, value: &str| key == format!("type {value}");
    raw_facts(file)
        .into_iter()
        .map(|(key, value)| (untag(key), untag(value)))
        .filter(|(key, value)| !is_typedef(key, value))
        .collect()
}

/// Returns the typedef of each tagged type.
fn typedefs(file: &syn::File) -> BTreeMap<String, String> {
    let named = |item: &Item| match item {
        Item::Struct(item) => Some(item.ident.to_string()),
        Item::Union(item) => Some(item.ident.to_string()),
        Item::Type(item) => Some(item.ident.to_string()),
        _ => None,
    };
    let tags: BTreeSet<String> = file.items.iter().filter_map(named).collect();
    let typedef = |item: &Item| {
        let (tag, typedef) = match item {
            Item::Type(item) => (text(&item.ty), item.ident.to_string()),
            Item::Use(item) => {
                let syn::UseTree::Path(path) = &item.tree else { return None };
                let syn::UseTree::Rename(rename) = &*path.tree else { return None };
                (rename.ident.to_string(), rename.rename.to_string())
            }
            _ => return None,
        };
        let is_tag =
            tags.contains(&tag) && (tag.starts_with('_') || tag.ends_with("_t") || tag.ends_with("_s"));
        is_tag.then_some((tag, typedef))
    };
    file.items.iter().filter_map(typedef).collect()
}

fn raw_facts(file: &syn::File) -> Facts {
    let mut facts = Facts::new();
    for item in &file.items {
        match item {
            Item::Const(item) if item.ident == "_" => {
                facts.extend(assertions(&item.expr));
            }
            Item::Const(item) => {
                facts.insert(format!("constant {}", item.ident), text(&item.expr));
            }
            Item::Type(item) => {
                facts.insert(format!("type {}", item.ident), text(&item.ty));
            }
            Item::Struct(item) => {
                facts.extend(item.fields.iter().filter_map(|field| {
                    let name = field.ident.as_ref()?;
                    Some((format!("type of field {}::{name}", item.ident), text(&field.ty)))
                }));
            }
            Item::ForeignMod(item) => facts.extend(item.items.iter().filter_map(|item| match item {
                ForeignItem::Fn(item) => {
                    let arguments: Vec<_> = item.sig.inputs.iter().map(argument_type).collect();
                    let signature = format!("({}) {}", arguments.join(", "), text(&item.sig.output));
                    Some((format!("signature of {}", item.sig.ident), signature))
                }
                _ => None,
            })),
            _ => (),
        }
    }
    facts
}

fn argument_type(argument: &syn::FnArg) -> String {
    match argument {
        syn::FnArg::Typed(argument) => text(&argument.ty),
        other => text(other),
    }
}

/// Returns the layout assertions of one type, such as `["Size of T"][size_of::<T>() - 8usize];`.
fn assertions(block: &Expr) -> Vec<(String, String)> {
    let Expr::Block(block) = block else { return Vec::new() };
    let assertion = |statement: &Stmt| {
        let Stmt::Expr(Expr::Index(index), _) = statement else { return None };
        let (Expr::Array(labels), Expr::Binary(difference)) = (&*index.expr, &*index.index) else {
            return None;
        };
        let Expr::Lit(label) = labels.elems.first()? else { return None };
        let (Lit::Str(label), Expr::Lit(number)) = (&label.lit, &*difference.right) else { return None };
        let Lit::Int(number) = &number.lit else { return None };
        let label = label.value();
        let label = label.strip_prefix("Offset of field: ").map_or_else(
            || label.replacen("Size of", "size of", 1).replacen("Alignment of", "alignment of", 1),
            |field| format!("offset of {field}"),
        );
        Some((label, number.base10_digits().to_owned()))
    };
    block.block.stmts.iter().filter_map(assertion).collect()
}

/// Returns the code with the usual spacing, as far as declarations need it.
pub(crate) fn text(tokens: &impl ToTokens) -> String {
    let spacing = [
        (":: core :: ffi :: ", "::core::ffi::"),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        (" ,", ","),
        (" : ", ": "),
        ("* mut ", "*mut "),
        ("* const ", "*const "),
    ];
    let text = tokens.to_token_stream().to_string();
    spacing.iter().fold(text, |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::{compare, facts};

    const OLD: &str = r#"
        pub type CpaBoolean = ::core::ffi::c_uint;
        pub const CPA_ONE: CpaBoolean = 1;
        pub struct _CpaX { pub a: Cpa32U, pub b: *mut _CpaX }
        const _: () = {
            ["Size of _CpaX"][::core::mem::size_of::<_CpaX>() - 16usize];
            ["Alignment of _CpaX"][::core::mem::align_of::<_CpaX>() - 8usize];
            ["Offset of field: _CpaX::b"][::core::mem::offset_of!(_CpaX, b) - 8usize];
        };
        pub type CpaX = _CpaX;
        unsafe extern "C" { pub fn cpaX(x: *mut _CpaX) -> CpaBoolean; }
    "#;

    #[test]
    fn every_part_of_the_interface_is_a_fact() {
        let facts = facts(&syn::parse_file(OLD).unwrap());
        let expected = [
            ("alignment of CpaX", "8"),
            ("constant CPA_ONE", "1"),
            ("offset of CpaX::b", "8"),
            ("signature of cpaX", "(*mut CpaX) -> CpaBoolean"),
            ("size of CpaX", "16"),
            ("type CpaBoolean", "::core::ffi::c_uint"),
            ("type of field CpaX::a", "Cpa32U"),
            ("type of field CpaX::b", "*mut CpaX"),
        ];
        assert!(facts.iter().map(|(k, v)| (k.as_str(), v.as_str())).eq(expected), "{facts:?}");
    }

    #[test]
    fn a_grown_struct_is_reported() {
        let old = facts(&syn::parse_file(OLD).unwrap());
        let new = facts(&syn::parse_file(&OLD.replace("16usize", "24usize")).unwrap());
        let report = compare(&old, &new).unwrap_err().to_string();
        assert!(report.contains("size of CpaX: was 16, now 24"), "{report}");
        assert!(!report.contains("offset of"), "{report}");
    }
}
