//! Key files.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use qat::stream::Keyset;
use zeroize::Zeroizing;

use crate::args::{Keygen, Seal};
use crate::exit::{Exit, Failure, Result};
use crate::output::{self, PendingFile};

/// Room for thousands of keys.
const MAX_KEY_FILE: usize = 1 << 20;

/// Reads the key file of `args`.
pub(crate) fn read(args: &Seal) -> Result<Keyset> {
    let path = &args.key_file;
    let name = path.display();
    let failed = |error: &io::Error| Failure::reading(&name, error);
    let file = if is_standard(path) {
        if io::stdin().is_terminal() {
            let message = "a key is not read from a terminal, which would show it: name a file or use a pipe";
            return Err(Failure::new(Exit::Refused, message));
        }
        output::unbuffered(&io::stdin())
    } else {
        File::open(path)
    }
    .map_err(|error| failed(&error))?;
    #[cfg(unix)]
    if !args.common.quiet {
        use std::os::unix::fs::MetadataExt;
        let metadata = file.metadata().map_err(|error| failed(&error))?;
        if metadata.is_file() && metadata.mode() & 0o044 != 0 {
            crate::report::say(format_args!("qat: warning: others can read the key file: chmod 600 {name}"));
        }
    }
    // Never grows, which would leave copies of the key behind.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_KEY_FILE));
    file.take(MAX_KEY_FILE as u64).read_to_end(&mut text).map_err(|error| failed(&error))?;
    // What is no text is no key either.
    let text = std::str::from_utf8(&text).unwrap_or_default();
    Keyset::parse(text)
        .map_err(|error| Failure::new(Exit::Key, format!("{name}: {error}; `qat keygen` makes a key file")))
}

/// `qat keygen`.
pub(crate) fn generate(args: &Keygen) -> Result<()> {
    let path = &args.output;
    let failed = |error: &io::Error| Failure::writing(path.display(), error);
    let keyset = Keyset::generate().map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
    let text = if args.hex {
        let mut hex = Zeroizing::new(String::with_capacity(65));
        hex.push_str(&keyset.to_hex().unwrap_or_default());
        hex.push('\n');
        hex
    } else {
        keyset.to_json()
    };
    if is_standard(path) {
        if io::stdout().is_terminal() {
            let message = "a key is not shown on a terminal: name a file with -o or use a pipe";
            return Err(Failure::new(Exit::Refused, message));
        }
        let stdout = output::unbuffered(&io::stdout());
        return stdout
            .and_then(|mut stdout| stdout.write_all(text.as_bytes()))
            .map_err(|error| failed(&error));
    }
    let pending = PendingFile::create(path, false, true)?;
    pending.file().write_all(text.as_bytes()).map_err(|error| failed(&error))?;
    // Losing a key is losing what it encrypted.
    pending.commit(None, true)
}

/// Whether `path` means a standard stream.
pub(crate) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}
