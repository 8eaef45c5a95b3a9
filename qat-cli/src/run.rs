//! The commands on files.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use qat::accel_core::{CompressOptions, Format};
use qat::stream::{self, Engine, Keyset, Progress, Settings, StreamError, Summary};
use qat::{AutoAccelerator, QatAccelerator, SoftwareAccelerator};

use crate::args::{Common, Compress, Decompress, EngineName, Seal};
use crate::exit::{Exit, Failure, Result};
use crate::keys::{self, is_standard};
use crate::output::{PendingFile, unbuffered};
use crate::report::{self, Tally, Watch};

/// Suffix of encrypted files.
const TINK: &str = "tink";

/// Suffix of files of `format`.
fn suffix(format: Format) -> &'static str {
    match format {
        Format::Zlib => "zz",
        Format::Deflate => "deflate",
        Format::Lz4Frame | Format::Lz4Block => "lz4",
        Format::Zstd => "zst",
        _ => "gz",
    }
}

const COMPRESSED: [&str; 5] = ["gz", "zz", "deflate", "lz4", "zst"];

/// What is done to each file.
enum Work {
    Compress(CompressOptions),
    Decompress(Option<Format>),
    Encrypt(Keyset, String),
    Decrypt(Keyset, String),
}

pub(crate) fn compress(args: &Compress) -> Result<()> {
    let format = args.format.into();
    let settings = Settings::default().independent(args.independent);
    run(&Work::Compress(CompressOptions::new(format).level(args.level)), &args.common, settings)
}

pub(crate) fn decompress(args: &Decompress) -> Result<()> {
    let mut settings = Settings::default().limit(args.limit.unwrap_or(u64::MAX));
    if let Some(log) = args.long {
        settings = settings.window_limit(1 << log);
    }
    run(&Work::Decompress(args.format.map(Format::from)), &args.common, settings)
}

pub(crate) fn encrypt(args: &Seal) -> Result<()> {
    check_key_input(args)?;
    run(&Work::Encrypt(keys::read(args)?, args.aad.clone()), &args.common, Settings::default())
}

pub(crate) fn decrypt(args: &Seal) -> Result<()> {
    check_key_input(args)?;
    run(&Work::Decrypt(keys::read(args)?, args.aad.clone()), &args.common, Settings::default())
}

/// Standard input is the key or the data, not both.
fn check_key_input(args: &Seal) -> Result<()> {
    let files = &args.common.files;
    if is_standard(&args.key_file) && (files.is_empty() || files.iter().any(|file| is_standard(file))) {
        return usage("the key is read from standard input, so the data must come from a named FILE");
    }
    Ok(())
}

fn usage<T>(message: &str) -> Result<T> {
    Err(Failure::new(Exit::Usage, message))
}

fn refused<T>(message: String) -> Result<T> {
    Err(Failure::new(Exit::Refused, message))
}

fn engine(name: EngineName) -> Engine {
    match name {
        EngineName::Auto => Engine::auto(&AutoAccelerator::default()),
        EngineName::Qat => Engine::qat(&QatAccelerator::default()),
        EngineName::Software => Engine::software(&SoftwareAccelerator::new()),
    }
}

fn run(work: &Work, common: &Common, mut settings: Settings) -> Result<()> {
    let standard = [PathBuf::from("-")];
    let files = if common.files.is_empty() { &standard[..] } else { &common.files[..] };
    let to_stdout = common.stdout || common.output.as_deref().is_some_and(is_standard);
    check_streams(work, common, files, to_stdout)?;
    if let Some(threads) = common.threads {
        settings = settings.threads(threads);
    }
    let engine = engine(common.engine);
    let mut total = Tally::default();
    let mut first_failure = None;
    for file in files {
        match one(work, common, file, to_stdout, &engine, settings.clone()) {
            Ok(tally) => total.add(&tally),
            // Nobody reads on: the other files have nowhere to go.
            Err(failure) if failure.exit == Exit::ClosedPipe => return Err(failure),
            Err(failure) => {
                if let Some(earlier) = first_failure.replace(failure) {
                    Failure::report(&earlier);
                }
            }
        }
    }
    if total.files() > 1 && !common.quiet {
        report::say(format_args!("total of {} files: {total}", total.files()));
    }
    first_failure.map_or(Ok(()), Err)
}

/// Refuses what cannot be meant before anything is touched.
fn check_streams(work: &Work, common: &Common, files: &[PathBuf], to_stdout: bool) -> Result<()> {
    let several = files.len() > 1;
    if several && common.output.is_some() && !to_stdout {
        return usage("-o names one output, and there are several inputs: leave -o out, or use -c");
    }
    if several && to_stdout && !work.joins() {
        return usage(
            "outputs of this format behind each other are no valid file: give one input, or leave -c out",
        );
    }
    let from_stdin = files.iter().any(|file| is_standard(file));
    if common.rm && (from_stdin || to_stdout) {
        return usage("--rm needs input and output to be files");
    }
    if common.force {
        return Ok(());
    }
    if from_stdin && !work.packs() && io::stdin().is_terminal() {
        return refused(
            "compressed or encrypted data is not read from a terminal: name a FILE or use a pipe (-f reads it all the \
             same)"
                .to_owned(),
        );
    }
    let unnamed = from_stdin && common.output.is_none();
    if (to_stdout || unnamed) && work.packs() && io::stdout().is_terminal() {
        return refused(
            "compressed or encrypted data is not written to a terminal: use -o FILE or a pipe (-f writes it all the \
             same)"
                .to_owned(),
        );
    }
    Ok(())
}

/// What is opened to be read.
struct Input {
    file: File,
    /// Of a file with a name.
    metadata: Option<Metadata>,
    len: Option<u64>,
}

/// Where a file's output goes.
enum Output {
    Stdout(File),
    /// A device or a pipe with a name.
    Special(File),
    File(PendingFile),
}

impl Output {
    fn file(&self) -> &File {
        match self {
            Self::Stdout(file) | Self::Special(file) => file,
            Self::File(pending) => pending.file(),
        }
    }
}

/// Works on one file.
fn one(
    work: &Work,
    common: &Common,
    path: &Path,
    to_stdout: bool,
    engine: &Engine,
    settings: Settings,
) -> Result<Tally> {
    let from_stdin = is_standard(path);
    // The name of the output; `None` for standard output.
    let target = match &common.output {
        _ if to_stdout => None,
        Some(output) => Some(output.clone()),
        None if from_stdin => None,
        None => Some(work.target(path, common.force)?),
    };
    let input = if from_stdin { standard_input()? } else { open(path, common, target.is_some())? };
    let name = if from_stdin { "standard input".to_owned() } else { path.display().to_string() };
    let output_name =
        target.as_ref().map_or("standard output".to_owned(), |target| target.display().to_string());
    let output = match &target {
        None => {
            Output::Stdout(unbuffered(&io::stdout()).map_err(|error| Failure::writing(&output_name, &error))?)
        }
        Some(target) => create(target, path, &input, common)?,
    };

    let progress = Arc::new(Progress::default());
    let watch = Watch::new(&name, &progress, input.len, common.quiet);
    let (start, threads) = (Instant::now(), settings.threads);
    // Of a name only: standard input may be a file that was read from already.
    let input_len = input.metadata.as_ref().map(Metadata::len);
    let settings = settings.progress(progress).input_len(input_len);
    let done = work.stream(&input.file, output.file(), engine, path, &settings);
    let elapsed = start.elapsed();
    drop(watch);
    let summary = done.map_err(|error| Failure::stream(&name, &output_name, &error))?;

    if let Output::File(pending) = output {
        pending.commit(input.metadata.as_ref(), common.rm)?;
        if common.rm {
            // Windows removes no open file.
            drop(input);
            fs::remove_file(path).map_err(|error| {
                let message =
                    format!("{name}: {output_name} is complete, but this cannot be removed: {error}");
                Failure::new(Exit::Io, message)
            })?;
        }
    }
    let tally = Tally::new(&summary, work.packs(), elapsed);
    if !common.quiet {
        report::say(format_args!("{name} -> {output_name}: {tally}"));
        if common.verbose {
            report::say(tally.details(summary.format, threads.get()));
        }
    }
    Ok(tally)
}

fn standard_input() -> Result<Input> {
    let file = unbuffered(&io::stdin()).map_err(|error| Failure::reading("standard input", &error))?;
    let len = file.metadata().ok().filter(Metadata::is_file).map(|metadata| metadata.len());
    Ok(Input { file, metadata: None, len })
}

/// Opens a named input; `to_file` where its output becomes a file.
fn open(path: &Path, common: &Common, to_file: bool) -> Result<Input> {
    let name = path.display();
    let failed = |error: io::Error| Failure::reading(&name, &error);
    let derived = to_file && common.output.is_none();
    let itself = fs::symlink_metadata(path).map_err(failed)?;
    if itself.is_symlink() && derived && !common.force {
        return refused(format!(
            "{name}: is a symbolic link: name the file it points to, or use -f, -o or -c"
        ));
    }
    // Asked before opening, which would wait for a pipe's other end.
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return Err(Failure::reading(&name, &io::ErrorKind::IsADirectory.into()));
    }
    if !metadata.is_file() && (derived || common.rm) {
        return refused(format!("{name}: is not a regular file: use -c or -o, without --rm"));
    }
    #[cfg(unix)]
    if common.rm && !common.force && std::os::unix::fs::MetadataExt::nlink(&metadata) > 1 {
        return refused(format!("{name}: has other hard links, which --rm would leave: use -f, or no --rm"));
    }
    let file = File::open(path).map_err(failed)?;
    // Of what was opened, whatever the name means by now.
    let metadata = file.metadata().map_err(failed)?;
    let len = metadata.is_file().then_some(metadata.len());
    Ok(Input { file, metadata: metadata.is_file().then_some(metadata), len })
}

/// Begins the output `target` of `source`.
fn create(target: &Path, source: &Path, input: &Input, common: &Common) -> Result<Output> {
    let existing = fs::metadata(target).ok();
    let is_special = |metadata: &Metadata| !metadata.is_file() && !metadata.is_dir();
    if common.output.is_some() && existing.as_ref().is_some_and(is_special) {
        if common.rm {
            return usage("--rm needs input and output to be files");
        }
        let opened = File::options().write(true).open(target);
        return opened.map(Output::Special).map_err(|error| Failure::writing(target.display(), &error));
    }
    let is_same = || Some(fs::canonicalize(target).ok()? == fs::canonicalize(source).ok()?);
    if existing.is_some() && is_same() == Some(true) {
        return usage("input and output are the same file: name another with -o");
    }
    PendingFile::create(target, common.force, input.metadata.is_some()).map(Output::File)
}

impl Work {
    /// Whether the input is the plain side.
    fn packs(&self) -> bool {
        matches!(self, Self::Compress(_) | Self::Encrypt(..))
    }

    /// Whether outputs behind each other are one valid output.
    fn joins(&self) -> bool {
        match self {
            Self::Compress(options) => !matches!(options.format, Format::Zlib | Format::Deflate),
            Self::Encrypt(..) => false,
            Self::Decompress(_) | Self::Decrypt(..) => true,
        }
    }

    /// The output's name for an input's name.
    fn target(&self, path: &Path, force: bool) -> Result<PathBuf> {
        let known: &[&str] = match self {
            Self::Compress(options) => return with_suffix(path, suffix(options.format), force),
            Self::Encrypt(..) => return with_suffix(path, TINK, force),
            Self::Decompress(_) => &COMPRESSED,
            Self::Decrypt(..) => &[TINK],
        };
        if known.iter().any(|suffix| has_suffix(path, suffix)) {
            return Ok(path.with_extension(""));
        }
        let list: Vec<String> = known.iter().map(|suffix| format!(".{suffix}")).collect();
        let (name, list) = (path.display(), list.join(" "));
        refused(format!("{name}: unknown suffix, none of {list}: name the output with -o, or use -c"))
    }

    fn stream(
        &self,
        input: &File,
        output: &File,
        engine: &Engine,
        path: &Path,
        settings: &Settings,
    ) -> Result<Summary, StreamError> {
        match self {
            Self::Compress(options) => stream::compress(input, output, engine, options, settings),
            Self::Decompress(format) => {
                let format = format.or(has_suffix(path, "deflate").then_some(Format::Deflate));
                stream::decompress(input, output, engine, format, settings)
            }
            Self::Encrypt(keyset, aad) => {
                stream::encrypt(input, output, engine, keyset, aad.as_bytes(), settings)
            }
            Self::Decrypt(keyset, aad) => {
                stream::decrypt(input, output, engine, keyset, aad.as_bytes(), settings)
            }
        }
    }
}

fn has_suffix(path: &Path, suffix: &str) -> bool {
    path.extension().and_then(OsStr::to_str) == Some(suffix)
}

/// `path` with `.suffix` behind its name.
fn with_suffix(path: &Path, suffix: &str, force: bool) -> Result<PathBuf> {
    if has_suffix(path, suffix) && !force {
        let name = path.display();
        return refused(format!("{name}: has the suffix .{suffix} already: use -f to add another, or -o"));
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    Ok(name.into())
}
