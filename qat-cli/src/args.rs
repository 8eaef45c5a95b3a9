//! What the command line looks like. Also the source of completions and man pages (`examples/assets.rs`).

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use qat::accel_core::{Format, Level};

/// Compress and encrypt files on Intel QAT, or on the CPU
///
/// Compresses, decompresses, encrypts and decrypts files of any size in constant memory, on all cores and on Intel
/// QuickAssist (QAT) devices where there are any. What it writes is plain: every other tool for the format reads it, and
/// it reads what they write. After each file one line on stderr says how large, how fast, where it ran and why.
///
/// Without FILE, or where FILE is -, it reads standard input and writes standard output.
#[derive(Debug, Parser)]
#[command(name = "qat", version, max_term_width = 100, after_long_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  qat compress report.csv                      writes report.csv.gz
  qat compress -l best --format zstd *.log     writes one .zst per file
  tar c dir | qat compress > dir.tar.gz        a pipe
  qat decompress report.csv.gz                 writes report.csv
  qat decompress --limit 2G upload.zst         at most 2 GiB of output
  qat keygen -o my.key                         a fresh key, readable by its owner only
  qat encrypt --key-file my.key report.csv     writes report.csv.tink
  qat decrypt --key-file my.key report.csv.tink
  tar c dir | qat compress | qat encrypt --key-file my.key > dir.tar.gz.tink
  qat info                                     devices, libqat, and what is missing

Formats:
  gzip     .gz       RFC 1952, one member
  zlib     .zz       RFC 1950
  deflate  .deflate  RFC 1951, raw; has no mark of its own, so name it: by suffix or --format
  lz4      .lz4      LZ4 frame
  zstd     .zst      Zstandard, RFC 8878, one frame
  tink     .tink     Tink streaming AEAD AES256_GCM_HKDF_1MB, by encrypt and decrypt

Names:
  Decompressing removes these suffixes, .zstd and .z as well, and makes .tar of .tgz .taz .tzst
  and .tlz4. Upper and lower case are the same.

Files:
  Output goes to a temporary file beside its place and is renamed when complete: a file under the
  final name is always whole. Mode, access control list, times and, where permitted, owner follow
  the source; what the file system refuses of them is a warning. Long runs of zeros become holes.
  With --rm file and directory are synced to disk before the source is removed; otherwise the
  system writes back when it likes. A source that changed while it was read, or has lost its name
  to another file, is kept. Several files: each is tried, and the first failure decides the exit
  code.

  What cannot be renamed over is written in place with -f: a mount point, somebody else's file in
  a sticky directory, a file in a directory that may not be written to. It keeps its mode, and is
  not atomic: if qat fails or is killed, it is incomplete. -f replaces a symbolic link, not what
  it points to. -o /dev/stdout, or any name of an open descriptor, writes to that descriptor.

Environment:
  QAT_LIBRARY   path of libqat, instead of the names that `qat info` lists
  USDM_LIBRARY  path of libusdm, likewise
  Both are ignored where qat has more rights than its caller (set-user-ID, set-group-ID, file
  capabilities).

Exit codes:
  0    success
  1    internal failure, or a device failed
  2    the command line cannot be meant
  3    a file cannot be read or written; disk full; a source changed while it was read; the source
       was to be removed and is kept
  4    bad input: corrupt, truncated, followed by something else, unknown format
  5    wrong key or associated data, altered ciphertext, malformed key file
  6    the engine is not available, or does not do this
  7    the decompressed size exceeds --limit, or a Zstandard window --long
  8    refused: the output exists, the input is no regular file or has the suffix already, data to
       or from a terminal, the key file among the files; -f overrides where the message says so
  141  the reader of the output went away (closed pipe)
  A signal ends qat as that signal, after the temporary file is removed. SIGKILL leaves the file,
  .qat-*.tmp: the next run that writes to the directory names it.";

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Compress files
    Compress(Compress),
    /// Decompress gzip, zlib, deflate, LZ4 and Zstandard files
    Decompress(Decompress),
    /// Encrypt files with a key file
    Encrypt(Seal),
    /// Decrypt files with a key file
    Decrypt(Seal),
    /// Make a key file
    Keygen(Keygen),
    /// Show devices, libraries and capabilities, and why something is missing
    Info(Info),
}

/// `qat compress`
#[derive(Debug, Args)]
pub(crate) struct Compress {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Effort: fast, balanced, best, or a level of the format (gzip, zlib, deflate 0-12, lz4 1-12, zstd 1-22; on a device
    /// 1-12)
    #[arg(short, long, default_value = "balanced")]
    pub(crate) level: Level,
    /// Format to write
    #[arg(long, value_enum, default_value_t = FormatName::Gzip)]
    pub(crate) format: FormatName,
    /// Write gzip as independent members of 1 MiB, zstd as independent frames of 4 to 16 MiB: qat decompresses them in
    /// parallel, but many other programs read the first one only and lose the rest
    #[arg(long)]
    pub(crate) independent: bool,
    /// Is the default now, and has no effect
    #[arg(long, hide = true, conflicts_with = "independent")]
    single_member: bool,
}

/// `qat decompress`
#[derive(Debug, Args)]
pub(crate) struct Decompress {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Format to read [default: recognised by content; deflate by the suffix .deflate]
    #[arg(long, value_enum)]
    pub(crate) format: Option<FormatName>,
    /// Most bytes to write per input, such as 500M or 2G (powers of 1024) [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) limit: Option<u64>,
    /// Accept Zstandard windows of up to 2^N bytes, which are kept in memory, for files that were compressed with `zstd
    /// --long` or `--ultra` [default: 27, which is 128 MiB; without N: 31]
    #[arg(
        long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "31",
        value_parser = clap::value_parser!(u8).range(10..=31)
    )]
    pub(crate) long: Option<u8>,
}

/// `qat encrypt` and `qat decrypt`
#[derive(Debug, Args)]
pub(crate) struct Seal {
    #[command(flatten)]
    pub(crate) common: Common,
    /// File with the key: a Tink JSON keyset, or 64 hexadecimal digits; - reads it from standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: PathBuf,
    /// Associated data: bound to the encrypted file, not part of it, and needed again to decrypt
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) aad: String,
}

/// `qat keygen`
#[derive(Debug, Args)]
pub(crate) struct Keygen {
    /// File to write, readable by its owner only and never overwritten; - writes standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Write 64 hexadecimal digits instead of a Tink JSON keyset
    #[arg(long)]
    pub(crate) hex: bool,
}

/// `qat info`
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// Print JSON, with stable names
    #[arg(long)]
    pub(crate) json: bool,
}

/// What the commands on files share.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Files to work on; - or none for standard input
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Write to this file, for one input; - is standard output
    #[arg(short, long, value_name = "FILE", conflicts_with = "stdout")]
    pub(crate) output: Option<PathBuf>,
    /// Write everything to standard output
    #[arg(short = 'c', long)]
    pub(crate) stdout: bool,
    /// Overwrite, read what symbolic links point to, use terminals, add the suffix twice
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Keep the source, the default
    #[arg(short, long, overrides_with = "rm")]
    keep: bool,
    /// Remove the source when its output is complete and safe on disk, unless it changed meanwhile
    #[arg(long, overrides_with = "keep", conflicts_with = "stdout")]
    pub(crate) rm: bool,
    /// Where to work: a device if there is one, only a device, or the CPU
    #[arg(long, value_enum, default_value_t = EngineName::Auto)]
    pub(crate) engine: EngineName,
    /// Threads that do the work [default: one per core]
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Print errors only
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print format, threads, blocks and time as well
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Names of formats on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatName {
    /// RFC 1952, .gz
    Gzip,
    /// RFC 1950, .zz
    Zlib,
    /// RFC 1951 without any wrapper, .deflate
    Deflate,
    /// LZ4 frame, .lz4
    Lz4,
    /// Zstandard, .zst
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

/// Names of engines on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineName {
    /// QAT where it is there and worth it, the CPU otherwise
    Auto,
    /// QAT only; an error where it cannot
    Qat,
    /// The CPU only
    Software,
}

fn parse_threads(text: &str) -> Result<NonZeroUsize, &'static str> {
    match text.parse::<NonZeroUsize>() {
        Ok(threads) if threads.get() <= 1024 => Ok(threads),
        _ => Err("a number from 1 to 1024 is needed"),
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
        _ => return Err("a number of bytes is needed, with K, M, G or T for powers of 1024"),
    };
    let number = number.parse::<u64>().map_err(|_| "a number of bytes is needed, such as 500M")?;
    number.checked_mul(1 << shift).ok_or("that is more than 2^64 bytes")
}
