//! The definition of the command line. `main` parses with it, and `examples/assets.rs` generates completions and manual
//! pages from it; it touches no file.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use qat::accel_core::{Format, Level};

/// Compress, decompress, encrypt or decrypt files on Intel QAT or the CPU
///
/// Compresses, decompresses, encrypts and decrypts files of any size in constant memory, on all cores and on Intel
/// QuickAssist (QAT) devices if present. The formats are the standard ones, compatible with gzip, zstd, lz4 and Tink.
/// After each file, qat prints sizes, speed and the engine that was used to standard error.
///
/// With no FILE, or when FILE is -, read standard input and write to standard output.
#[derive(Debug, Parser)]
#[command(name = "qat", version, max_term_width = 100, after_long_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// Command to run
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  qat compress report.csv                      write report.csv.gz
  qat compress -l best --format zstd *.log     write one .zst file per input
  tar c dir | qat compress > dir.tar.gz        compress in a pipeline
  qat decompress report.csv.gz                 write report.csv
  qat decompress --limit 2G upload.zst         fail if the output exceeds 2 GiB
  qat keygen -o my.key                         generate a key, readable only by its owner
  qat encrypt --key-file my.key report.csv     write report.csv.tink
  qat decrypt --key-file my.key report.csv.tink
  tar c dir | qat compress | qat encrypt --key-file my.key > dir.tar.gz.tink
  qat info                                     show devices, libqat, and what is missing

Formats:
  gzip     .gz       RFC 1952, one member
  zlib     .zz       RFC 1950
  deflate  .deflate  RFC 1951, raw; not detected from the content: use the suffix or --format
  lz4      .lz4      LZ4 frame
  zstd     .zst      Zstandard, RFC 8878, one frame
  tink     .tink     Tink streaming AEAD AES256_GCM_HKDF_1MB, by encrypt and decrypt

Suffixes:
  Decompression removes these suffixes and .zstd and .z, and replaces .tgz, .taz, .tzst and .tlz4 by
  .tar. Case is ignored.

Files:
  Output is written to a temporary file in the same directory, which is renamed when it is complete,
  so that a file under the final name is never partial. Mode, access control list, times and, where
  permitted, owner are copied from the input; a warning reports those that the file system refuses.
  Long runs of zeros become holes. With --rm, file and directory are synced to disk before the input
  is removed. An input that changed while it was read, or was replaced by another file, is kept.
  With several files, qat continues after a failure, and the first failure sets the exit code.

  With -f, a file that cannot be replaced by renaming is written in place: a mount point, another
  user's file in a sticky directory, or a file in a directory without write permission. It keeps its
  mode. Such output is not atomic: it is incomplete if qat fails or is killed. -f replaces a
  symbolic link, and not the file that it points to. -o /dev/stdout, or any other name of an open
  descriptor, writes to that descriptor.

Environment:
  QAT_LIBRARY   path of libqat, instead of the default names
  USDM_LIBRARY  path of libusdm, instead of the default names
  Both are ignored if qat runs with more privileges than its caller (set-user-ID, set-group-ID, file
  capabilities).

Exit codes:
  0    success
  1    internal error, or a device failed
  2    usage error
  3    I/O error: a file cannot be read or written; disk full; an input changed while it was read; an
       input to be removed was kept
  4    invalid input: corrupt, truncated, trailing data, unknown format
  5    wrong key or associated data, altered ciphertext, malformed key file
  6    the engine is unavailable or does not support the operation
  7    the decompressed size exceeds --limit, or a Zstandard window exceeds --long
  8    refused: the output exists; the input is not a regular file or already has the suffix; data
       from or to a terminal; the key file is among the files; -f overrides where the message says so
  141  the reader of the output closed the pipe
  A signal ends qat with that signal, after the temporary file is removed. SIGKILL leaves the file,
  .qat-*.tmp; the next run that writes to the directory reports it.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Compress files
    Compress(Compress),
    /// Decompress gzip, zlib, deflate, LZ4 and Zstandard files
    Decompress(Decompress),
    /// Encrypt files with a key file
    Encrypt(EncryptionArgs),
    /// Decrypt files with a key file
    Decrypt(EncryptionArgs),
    /// Generate a key file
    Keygen(Keygen),
    /// Show devices, libraries and capabilities, and why a device is unavailable
    Info(Info),
}

/// The options of `qat compress`.
#[derive(Debug, Args)]
pub(crate) struct Compress {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Compression level: fast, balanced, best, or a number (gzip, zlib and deflate 0-12, lz4 1-12, zstd 1-22; on a
    /// device 1-12)
    #[arg(short, long, default_value = "balanced")]
    pub(crate) level: Level,
    /// Output format
    #[arg(long, value_enum, default_value_t = FormatName::Gzip)]
    pub(crate) format: FormatName,
    /// Write gzip as independent members of 1 MiB, or zstd as independent frames of 4 to 16 MiB. qat can decompress
    /// these in parallel, but many other programs read only the first one and ignore the rest
    #[arg(long)]
    pub(crate) independent: bool,
    /// No effect; a single member is the default
    #[arg(long, hide = true, conflicts_with = "independent")]
    single_member: bool,
}

/// The options of `qat decompress`.
#[derive(Debug, Args)]
pub(crate) struct Decompress {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Input format [default: detected from the content; deflate from the suffix .deflate]
    #[arg(long, value_enum)]
    pub(crate) format: Option<FormatName>,
    /// Maximum decompressed size per input, such as 500M or 2G (powers of 1024) [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) limit: Option<u64>,
    /// Allow Zstandard windows of up to 2^N bytes, which are kept in memory; needed for files compressed with `zstd
    /// --long` or `--ultra` [default: 27, which is 128 MiB; 31 if N is omitted]
    #[arg(
        long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "31",
        value_parser = clap::value_parser!(u8).range(10..=31)
    )]
    pub(crate) long: Option<u8>,
}

/// The options of `qat encrypt` and of `qat decrypt`.
#[derive(Debug, Args)]
pub(crate) struct EncryptionArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Read the key from FILE, a Tink JSON keyset or 64 hexadecimal digits; - reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: PathBuf,
    /// Associated data: authenticated but not stored in the output; the same TEXT is needed to decrypt
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) aad: String,
}

/// The options of `qat keygen`.
#[derive(Debug, Args)]
pub(crate) struct Keygen {
    /// Write the key to FILE, readable only by its owner; an existing file is never overwritten; - writes to standard
    /// output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Write 64 hexadecimal digits instead of a Tink JSON keyset
    #[arg(long)]
    pub(crate) hex: bool,
}

/// The options of `qat info`.
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// Print JSON with stable names
    #[arg(long)]
    pub(crate) json: bool,
}

/// The options that all commands on files have.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Input files; - or none reads standard input
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Write to FILE (single input only); - writes to standard output
    #[arg(short, long, value_name = "FILE", conflicts_with = "stdout")]
    pub(crate) output: Option<PathBuf>,
    /// Write to standard output and keep the input files
    #[arg(short = 'c', long)]
    pub(crate) stdout: bool,
    /// Overwrite existing files, follow symbolic links, use terminals, and add a suffix that is already present
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Keep the input files (default)
    #[arg(short, long, overrides_with = "rm")]
    keep: bool,
    /// Remove each input file once its output is complete and synced to disk, unless the input has changed
    #[arg(long, overrides_with = "keep", conflicts_with = "stdout")]
    pub(crate) rm: bool,
    /// Engine: a device if there is one, only a device, or only the CPU
    #[arg(long, value_enum, default_value_t = EngineName::Auto)]
    pub(crate) engine: EngineName,
    /// Number of threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Suppress all output except errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Also print format, number of threads, blocks and time
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// The names of formats on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatName {
    /// RFC 1952, .gz
    Gzip,
    /// RFC 1950, .zz
    Zlib,
    /// RFC 1951, raw, .deflate
    Deflate,
    /// LZ4 frame, .lz4
    Lz4,
    /// Zstandard, RFC 8878, .zst
    Zstd,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Gzip => Self::Gzip,
            FormatName::Zlib => Self::Zlib,
            FormatName::Deflate => Self::Deflate,
            FormatName::Lz4 => Self::Lz4Frame,
            FormatName::Zstd => Self::Zstd,
        }
    }
}

/// The names of engines on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineName {
    /// QAT when available and faster, otherwise the CPU
    Auto,
    /// QAT only; fail if it is unavailable or does not support the operation
    Qat,
    /// CPU only
    Software,
}

fn parse_threads(text: &str) -> Result<NonZeroUsize, &'static str> {
    match text.parse::<NonZeroUsize>() {
        Ok(threads) if threads.get() <= 1024 => Ok(threads),
        _ => Err("expected a number from 1 to 1024"),
    }
}

fn parse_size(text: &str) -> Result<u64, &'static str> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "" => 0,
        "k" | "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        "T" | "TiB" => 40,
        _ => return Err("expected a number of bytes, optionally followed by K, M, G or T (powers of 1024)"),
    };
    let number = number.parse::<u64>().map_err(|_| "expected a number of bytes, such as 500M")?;
    number.checked_mul(1 << shift).ok_or("the size exceeds 2^64 bytes")
}
