//! Key files.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use qat::stream::Keyset;
use zeroize::Zeroizing;

use crate::args::{Keygen, Seal};
use crate::directory::Access;
use crate::exit::{Exit, Failure, Result};
use crate::input::{Files, Identity, identity};
use crate::output::{Output, Request};
use crate::report::name;
use crate::standard::{self, Waiting};

/// Room for thousands of keys.
const MAX_KEY_FILE: usize = 1 << 20;

/// Reads the key file of `args`; also returns which file that is, `None` where it is no regular one.
pub(crate) fn read(args: &Seal) -> Result<(Keyset, Option<Identity>)> {
    let path = &args.key_file;
    let name = name(path);
    let failed = |error: &io::Error| Failure::reading(&name, error);
    let file = if is_standard(path) {
        if io::stdin().is_terminal() {
            let message = "a key is not read from a terminal, which would show it: name a file or use a pipe";
            return Err(Failure::new(Exit::Refused, message));
        }
        standard::input()
    } else {
        File::open(path)
    }
    .map_err(|error| failed(&error))?;
    let metadata = file.metadata().map_err(|error| failed(&error))?;
    #[cfg(unix)]
    if !args.common.quiet {
        use std::os::unix::fs::MetadataExt;
        if metadata.is_file() && metadata.mode() & 0o044 != 0 {
            crate::report::warn(format_args!("others can read the key file: chmod 600 {name}"));
        }
    }
    // Never grows, which would leave copies of the key behind.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_KEY_FILE));
    let path = (!is_standard(path)).then_some(path.as_path());
    let identity = identity(path, &metadata);
    Waiting(file).take(MAX_KEY_FILE as u64).read_to_end(&mut text).map_err(|error| failed(&error))?;
    // What is no text is no key either.
    let text = std::str::from_utf8(&text).unwrap_or_default();
    let keyset = Keyset::parse(text).map_err(|error| {
        Failure::new(Exit::Key, format!("{name}: {error}; `qat keygen` makes a key file"))
    })?;
    Ok((keyset, identity))
}

/// `qat keygen`.
pub(crate) fn generate(args: &Keygen) -> Result<()> {
    let path = &args.output;
    let keyset = Keyset::generate().map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
    let text = if args.hex {
        let mut hex = Zeroizing::new(String::with_capacity(65));
        hex.push_str(&keyset.to_hex().unwrap_or_default());
        hex.push('\n');
        hex
    } else {
        keyset.to_json()
    };
    let mut output = if is_standard(path) {
        Output::standard()?
    } else {
        let request = Request {
            target: path,
            is_named: true,
            overwrite: false,
            access: Access::Owner,
            sparse: false,
            must_be_file: false,
            quiet: false,
        };
        Output::open(&request, &mut Files::default())?
    };
    if output.file().is_terminal() {
        let message = "a key is not shown on a terminal: name a file with -o or use a pipe";
        return Err(Failure::new(Exit::Refused, message));
    }
    let written = output.write_all(text.as_bytes());
    written.map_err(|error| Failure::writing(output.name(), &error))?;
    // Losing a key is losing what it encrypted.
    let sync = !output.is_stream();
    output.finish(None, sync).map(drop)
}

/// Whether `path` means a standard stream.
pub(crate) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}
