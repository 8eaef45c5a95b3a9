//! The commands that process files: checks of the arguments, the loop over the files, and the removal of sources.
//! `main` calls one function for each command. A source is never removed before its output is complete.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use qat::accel_core::{CompressOptions, Format};
use qat::stream::{self, Engine, Keyset, Progress, Settings, StreamError, Summary};
use qat::{AutoAccelerator, QatAccelerator, SoftwareAccelerator};

use crate::args::{Common, Compress, Decompress, EncryptionArgs, EngineName};
use crate::directory::Access;
use crate::exit::{Exit, Failure, Result};
use crate::input::{Change, Files, Identity, Input, Reader};
use crate::keys::{self, is_standard};
use crate::output::{Output, OutputOptions};
use crate::report::{self, ProgressLine, Tally, name};
use crate::suffix::{self, Suffixes};

/// The operation on each file.
enum Work {
    Compress(CompressOptions),
    Decompress(Option<Format>),
    Encrypt(Keyset, String),
    Decrypt(Keyset, String),
}

pub(crate) fn compress(args: &Compress) -> Result<()> {
    let format = args.format.into();
    let settings = Settings::default().independent(args.independent);
    run(&Work::Compress(CompressOptions::new(format).level(args.level)), &args.common, settings, None)
}

pub(crate) fn decompress(args: &Decompress) -> Result<()> {
    let mut settings = Settings::default().limit(args.limit.unwrap_or(u64::MAX));
    if let Some(log) = args.long {
        settings = settings.window_limit(1 << log);
    }
    run(&Work::Decompress(args.format.map(Format::from)), &args.common, settings, None)
}

pub(crate) fn encrypt(args: &EncryptionArgs) -> Result<()> {
    check_key_input(args)?;
    let (keyset, key) = keys::read(args)?;
    run(&Work::Encrypt(keyset, args.aad.clone()), &args.common, Settings::default(), key)
}

pub(crate) fn decrypt(args: &EncryptionArgs) -> Result<()> {
    check_key_input(args)?;
    let (keyset, key) = keys::read(args)?;
    run(&Work::Decrypt(keyset, args.aad.clone()), &args.common, Settings::default(), key)
}

/// Refuses arguments that use standard input both for the key and for the data.
fn check_key_input(args: &EncryptionArgs) -> Result<()> {
    let files = &args.common.files;
    if is_standard(&args.key_file) && (files.is_empty() || files.iter().any(|file| is_standard(file))) {
        return usage("the key is read from standard input; name a FILE for the data");
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

/// Processes all files. `key` is the identity of the key file.
fn run(work: &Work, common: &Common, mut settings: Settings, key: Option<Identity>) -> Result<()> {
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
    let mut needed = Files::new(key);
    if common.force && files.len() > 1 {
        needed.expect(files);
    }
    for file in files {
        match one(work, common, file, to_stdout, &engine, settings.clone(), &mut needed) {
            Ok(tally) => total.add(&tally),
            // The reader of standard output is gone, so that the remaining files cannot be output either.
            Err(failure) if failure.exit == Exit::ClosedPipe => return Err(failure),
            Err(failure) => {
                if let Some(earlier) = first_failure.replace(failure) {
                    Failure::report(&earlier);
                }
            }
        }
    }
    if total.files() > 1 && !common.quiet {
        report::say(format_args!("{} files in total: {total}", total.files()));
    }
    first_failure.map_or(Ok(()), Err)
}

/// Refuses invalid combinations of arguments before any file is opened.
fn check_streams(work: &Work, common: &Common, files: &[PathBuf], to_stdout: bool) -> Result<()> {
    let several = files.len() > 1;
    if several && common.output.is_some() && !to_stdout {
        return usage("-o FILE requires a single input; omit -o, or use -c");
    }
    if several && to_stdout && !work.joins() {
        return usage("files of this format cannot be concatenated; name a single input, or omit -c");
    }
    let from_stdin = files.iter().any(|file| is_standard(file));
    if common.rm && (from_stdin || to_stdout) {
        return usage("--rm requires files as input and output");
    }
    if common.force {
        return Ok(());
    }
    if from_stdin && !work.packs() && io::stdin().is_terminal() {
        return refused(
            "refusing to read compressed or encrypted data from a terminal; name a FILE or use a pipe (-f to force)"
                .to_owned(),
        );
    }
    let unnamed = from_stdin && common.output.is_none();
    if (to_stdout || unnamed) && work.packs() && io::stdout().is_terminal() {
        return refuse_terminal();
    }
    Ok(())
}

fn refuse_terminal<T>() -> Result<T> {
    refused(
        "refusing to write compressed or encrypted data to a terminal; use -o FILE or a pipe (-f to force)"
            .to_owned(),
    )
}

/// Processes one file.
fn one(
    work: &Work,
    common: &Common,
    path: &Path,
    to_stdout: bool,
    engine: &Engine,
    settings: Settings,
    files: &mut Files,
) -> Result<Tally> {
    let from_stdin = is_standard(path);
    // The path of the output; `None` for standard output.
    let target = match &common.output {
        _ if to_stdout => None,
        Some(output) => Some(output.clone()),
        None if from_stdin => None,
        None => Some(work.target(path, common.force)?),
    };
    let input = if from_stdin { Input::standard()? } else { open(path, common, target.is_some())? };
    files.begin(&input)?;
    let mut output = match &target {
        None => Output::standard()?,
        Some(target) => {
            let options = OutputOptions {
                target,
                is_named: common.output.is_some(),
                overwrite: common.force,
                access: if input.source().is_some() { Access::Owner } else { Access::Umask },
                sparse: !work.packs(),
                must_be_file: common.rm,
                quiet: common.quiet,
            };
            Output::open(&options, files)?
        }
    };
    if output.is_stream() {
        files.check_stream(output.name(), output.file())?;
        // This checks a descriptor that was named, such as /dev/stdout; `check_streams` has checked standard output.
        if work.packs() && !common.force && output.file().is_terminal() {
            return refuse_terminal();
        }
    }
    let name = input.name.clone();
    let output_name = output.name().to_owned();

    let progress = Arc::new(Progress::default());
    let progress_line = ProgressLine::new(&name, &progress, input.len(), common.quiet);
    let (start, threads) = (Instant::now(), settings.threads);
    // The length is used for a named file only, because the offset of a redirected standard input may not be 0.
    let input_len = input.source().and_then(|_| input.len());
    let settings = settings.progress(Arc::clone(&progress)).input_len(input_len);
    let done = work.stream(input.reader(), &mut output, engine, path, &settings);
    let elapsed = start.elapsed();
    drop(progress_line);
    let summary = done.map_err(|error| {
        let shrunk = input.change() == Change::Shrunk;
        let note = if shrunk { "; the file became shorter while it was read" } else { "" };
        Failure::stream(&name, &output_name, &error).with(note).with(&output.note())
    })?;

    let finished = output.finish(input.source(), common.rm)?;
    if let Some(target) = &target {
        files.wrote(target);
    }
    let change = input.change();
    if common.rm {
        let keeps = finished.lacks_attributes.then_some("some of its attributes could not be copied");
        if let Some(reason) = keeps.or_else(|| input.keeps(progress.bytes_in())) {
            let message = format!("{name}: not removed because {reason}; {output_name} is complete");
            return Err(Failure::new(Exit::Io, message));
        }
        input.remove().map_err(|error| {
            let message = format!("{name}: cannot remove: {error}; {output_name} is complete");
            Failure::new(Exit::Io, message)
        })?;
    }
    match change {
        Change::None => {}
        Change::Written if common.quiet => {}
        Change::Written => report::warn(format_args!("{name}: changed while it was read")),
        Change::Shrunk => {
            let read = progress.bytes_in();
            let message = format!(
                "{name}: the file became shorter while it was read; {output_name} contains the {read} bytes that were \
                 read"
            );
            return Err(Failure::new(Exit::Io, message));
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

/// Opens a named input. `to_file` is set where its output is a file.
fn open(path: &Path, common: &Common, to_file: bool) -> Result<Input> {
    let name = name(path);
    let failed = |error: io::Error| Failure::reading(&name, &error);
    let derived = to_file && common.output.is_none();
    let itself = fs::symlink_metadata(path).map_err(failed)?;
    if itself.is_symlink() && derived && !common.force {
        return refused(format!(
            "{name}: is a symbolic link; name the file it points to, or use -f, -o or -c"
        ));
    }
    // The metadata are read before opening, because opening a FIFO would wait for its writer.
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return Err(Failure::reading(&name, &io::ErrorKind::IsADirectory.into()));
    }
    if !metadata.is_file() && (derived || common.rm) {
        return refused(format!("{name}: not a regular file; use -c or -o, without --rm"));
    }
    #[cfg(unix)]
    if common.rm && !common.force && std::os::unix::fs::MetadataExt::nlink(&metadata) > 1 {
        return refused(format!(
            "{name}: has other hard links, which --rm would not remove; use -f, or omit --rm"
        ));
    }
    Input::open(path).map_err(failed)
}

impl Work {
    /// Returns whether the input is the plain side.
    fn packs(&self) -> bool {
        matches!(self, Self::Compress(_) | Self::Encrypt(..))
    }

    /// Returns whether concatenated outputs are one valid output.
    fn joins(&self) -> bool {
        match self {
            Self::Compress(options) => !matches!(options.format, Format::Zlib | Format::Deflate),
            Self::Encrypt(..) => false,
            Self::Decompress(_) | Self::Decrypt(..) => true,
        }
    }

    /// Returns the name of the output for the input `path`.
    fn target(&self, path: &Path, force: bool) -> Result<PathBuf> {
        let suffixes = match self {
            Self::Compress(options) => Suffixes::Of(options.format),
            Self::Decompress(_) => Suffixes::Compressed,
            Self::Encrypt(..) | Self::Decrypt(..) => Suffixes::Encrypted,
        };
        let name = name(path);
        if self.packs() {
            return match suffixes.find(path) {
                Some((suffix, _)) if !force => refused(format!(
                    "{name}: already has the suffix .{suffix}; use -f to add another, or -o to choose a name"
                )),
                _ => Ok(suffixes.add(path)),
            };
        }
        suffixes.remove(path).map_or_else(
            || {
                let list = suffixes.list();
                refused(format!("{name}: unknown suffix (known: {list}); name the output with -o, or use -c"))
            },
            Ok,
        )
    }

    fn stream(
        &self,
        input: Reader<'_>,
        output: &mut Output,
        engine: &Engine,
        path: &Path,
        settings: &Settings,
    ) -> Result<Summary, StreamError> {
        match self {
            Self::Compress(options) => stream::compress(input, output, engine, options, settings),
            Self::Decompress(format) => {
                let format = format.or(suffix::is_deflate(path).then_some(Format::Deflate));
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
