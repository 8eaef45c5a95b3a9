//! Key files: `qat encrypt` and `qat decrypt` read them, and `qat keygen` writes them. No key is ever shown on a
//! terminal or in a message.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use qat::stream::Keyset;
use zeroize::Zeroizing;

use crate::args::{EncryptionArgs, Keygen};
use crate::directory::Access;
use crate::exit::{Exit, Failure, Result};
use crate::input::{Files, Identity, identity};
use crate::output::{Output, OutputOptions};
use crate::report::name;
use crate::standard::{self, Waiting};

/// The longest key file in bytes, which is enough for thousands of keys.
const MAX_KEY_FILE: usize = 1 << 20;

/// Reads the key file of `args`, and returns the keys and the identity of the file, which is `None` where it is not a
/// regular file.
pub(crate) fn read(args: &EncryptionArgs) -> Result<(Keyset, Option<Identity>)> {
    let path = &args.key_file;
    let name = name(path);
    let failed = |error: &io::Error| Failure::reading(&name, error);
    let file = if is_standard(path) {
        if io::stdin().is_terminal() {
            let message =
                "refusing to read a key from a terminal, which would display it; name a file or use a pipe";
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
            crate::report::warn(format_args!("{name}: other users can read this key file; use chmod 600"));
        }
    }
    // The buffer has its final capacity. Growing would leave copies of the key in freed memory.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_KEY_FILE));
    let path = (!is_standard(path)).then_some(path.as_path());
    let identity = identity(path, &metadata);
    Waiting(file).take(MAX_KEY_FILE as u64).read_to_end(&mut text).map_err(|error| failed(&error))?;
    // Content that is not UTF-8 becomes empty text, which the parser refuses.
    let text = std::str::from_utf8(&text).unwrap_or_default();
    let keyset = Keyset::parse(text).map_err(|error| {
        Failure::new(Exit::Key, format!("{name}: {error}; use `qat keygen` to generate a key file"))
    })?;
    Ok((keyset, identity))
}

/// Runs `qat keygen`.
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
        let options = OutputOptions {
            target: path,
            is_named: true,
            overwrite: false,
            access: Access::Owner,
            sparse: false,
            must_be_file: false,
            quiet: false,
        };
        Output::open(&options, &mut Files::default())?
    };
    if output.file().is_terminal() {
        let message = "refusing to write a key to a terminal; name a file with -o or use a pipe";
        return Err(Failure::new(Exit::Refused, message));
    }
    let written = output.write_all(text.as_bytes());
    written.map_err(|error| Failure::writing(output.name(), &error))?;
    // The key is synced to disk before data are encrypted with it. If it were lost, so would they be.
    let sync = !output.is_stream();
    output.finish(None, sync).map(drop)
}

/// Returns whether `path` means a standard stream.
pub(crate) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}
