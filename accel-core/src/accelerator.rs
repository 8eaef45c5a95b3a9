//! The trait that every accelerator implements.

use std::future::{Future, ready};
use std::pin::Pin;

use crate::job::to_vec;
use crate::{Job, Operation, Outcome, Output, OwnedJob, OwnedOutput, Result, Statistics};

bitflags::bitflags! {
    /// Says what an accelerator or a device can work on.
    ///
    /// # Examples
    /// ```
    /// use accel_core::AcceleratorTypes;
    /// let types = AcceleratorTypes::COMPRESSION | AcceleratorTypes::PUBLIC_KEY;
    /// assert_eq!(types.to_string(), "compression,public-key");
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub struct AcceleratorTypes: u32 {
        /// Compression and decompression.
        const COMPRESSION = 1;
        /// Symmetric encryption and authentication.
        const ENCRYPTION = 1 << 1;
        /// Public-key arithmetic.
        const PUBLIC_KEY = 1 << 2;
        /// Digests and checksums as operations of their own.
        const HASHING = 1 << 3;
    }
}

impl std::fmt::Display for AcceleratorTypes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (i, (name, _)) in self.iter_names().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            for (j, part) in name.split('_').enumerate() {
                if j > 0 {
                    f.write_str("-")?;
                }
                f.write_str(&part.to_ascii_lowercase())?;
            }
        }
        Ok(())
    }
}

/// A future that owns all it needs and works with every runtime.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// Hands both buffers of an asynchronous call back with its result.
#[derive(Debug)]
pub struct Completion<T> {
    /// The caller's input, unchanged.
    pub input: Vec<u8>,
    /// The caller's output. After success the result says how many of its bytes, from the front, were written. For
    /// [`OwnedOutput::New`] it is the vector that was made.
    pub output: Vec<u8>,
    /// The result of the call.
    pub result: Result<T>,
}

impl Completion<Outcome> {
    /// Runs `work` on the buffers of a submitted job and hands them back with its result, for implementations of
    /// [`submit`](HardwareAccelerator::submit).
    pub fn run(
        job: &OwnedJob,
        input: Vec<u8>,
        mut output: OwnedOutput,
        work: impl FnOnce(Job<'_>, &[u8], &mut Output<'_>) -> Result<Outcome>,
    ) -> Self {
        let job = job.as_job();
        let mut room = output.open(job);
        let result = work(job, &input, &mut room);
        let written = room.into_vec();
        Self { input, output: output.close(written), result }
    }
}

/// An accelerator: something that works on bytes, on a device or instead of one.
///
/// This is all that an implementation writes: who it is, what it counted, and [`execute`](Self::execute). The methods that
/// programs call stand in [`CompressionAccelerator`](crate::CompressionAccelerator) and
/// [`EncryptionAccelerator`](crate::EncryptionAccelerator), which every accelerator has, `dyn HardwareAccelerator`
/// included.
///
/// Construction of an implementation touches nothing and cannot fail. The first use, or
/// [`initialize`](Self::initialize), finds out what is there. Where the device is absent,
/// [`is_available`](Self::is_available) is false and the operations fail with
/// [`Error::Unavailable`](crate::Error::Unavailable); nothing panics.
///
/// # Examples
/// ```
/// use accel_core::HardwareAccelerator;
///
/// fn report(accelerator: &dyn HardwareAccelerator) {
///     match accelerator.initialize() {
///         Ok(()) => println!("{} is there for {}", accelerator.name(), accelerator.types()),
///         Err(error) => println!("{error}"),
///     }
/// }
/// ```
pub trait HardwareAccelerator: Send + Sync {
    /// Returns a short stable name, such as `qat`, `software` or `auto`.
    fn name(&self) -> &'static str;

    /// Returns what this kind of accelerator can work on when everything that it needs is there.
    fn types(&self) -> AcceleratorTypes;

    /// Returns whether an operation can be expected to succeed now. The first call initialises.
    fn is_available(&self) -> bool;

    /// Returns whether this accelerator may do the work on the CPU when the device does not.
    fn has_cpu_fallback(&self) -> bool;

    /// Finds and starts what is needed. This happens once; later calls return the answer of the first one.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) with the reason when the accelerator cannot be used.
    fn initialize(&self) -> Result<()>;

    /// Returns what was counted since construction. [`Recorder`](crate::Recorder) does the counting.
    fn statistics(&self) -> Statistics;

    /// Runs a job on this thread: reads all of `input`, writes to `output`, and says where it ran. `output` is empty at the
    /// start. Each call is counted, whether it succeeds or fails.
    ///
    /// What the methods of [`CompressionAccelerator`](crate::CompressionAccelerator) and
    /// [`EncryptionAccelerator`](crate::EncryptionAccelerator) promise is what this has to do.
    ///
    /// # Errors
    /// Those that the method for the job lists, and those of [`Job::unsupported`] for a job that this accelerator does not
    /// do.
    fn execute(&self, job: Job<'_>, input: &[u8], output: &mut Output<'_>) -> Result<Outcome>;

    /// Starts a job and returns the future of its result. The job begins with this call, and not when the future is first
    /// polled; a future that is dropped before its end counts as [abandoned](Statistics::abandoned). Both buffers come
    /// back in the [`Completion`], also after a failure.
    ///
    /// The provided method runs the job on this thread, and the future is ready when it returns. An accelerator that can do
    /// better, with a device or with threads of its own, replaces it.
    fn submit(&self, job: OwnedJob, input: Vec<u8>, output: OwnedOutput) -> BoxFuture<Completion<Outcome>> {
        let work = |job: Job<'_>, input: &[u8], output: &mut Output<'_>| self.execute(job, input, output);
        Box::pin(ready(Completion::run(&job, input, output, work)))
    }

    /// Runs one operation that needs no key and returns its output.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) for [`Operation::Encrypt`], [`Operation::Decrypt`] and
    /// [`Operation::Hmac`] (its text names the call that takes a key), [`Error::InvalidArgument`](crate::Error::InvalidArgument) for
    /// an operation that this accelerator does not know, and whatever the operation itself may fail with.
    fn process(&self, operation: &Operation, input: &[u8]) -> Result<(Vec<u8>, Outcome)> {
        to_vec(self, operation.into(), input)
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::{
        Cipher, CipherOptions, CompressOptions, CompressionAccelerator, DecompressOptions, Digest,
        EncryptionAccelerator, Error, ExecutedOn, Format, Iv, Key, Recorder,
    };

    /// An accelerator that writes what it was asked for: the name of the job, and the IV of an encryption.
    #[derive(Default)]
    struct Names(Recorder);

    impl HardwareAccelerator for Names {
        fn name(&self) -> &'static str {
            "names"
        }

        fn types(&self) -> AcceleratorTypes {
            AcceleratorTypes::all()
        }

        fn is_available(&self) -> bool {
            true
        }

        fn has_cpu_fallback(&self) -> bool {
            false
        }

        fn initialize(&self) -> Result<()> {
            Ok(())
        }

        fn statistics(&self) -> Statistics {
            self.0.statistics()
        }

        fn execute(&self, job: Job<'_>, input: &[u8], output: &mut Output<'_>) -> Result<Outcome> {
            let in_flight = self.0.start();
            let written = match job {
                Job::Other(_) => Err(job.unsupported("names")),
                Job::Encrypt(_, options) => output.write(options.iv.expect("drawn").as_bytes()),
                job => output.write(job.name().as_bytes()),
            };
            let path = ExecutedOn::Hardware { instance: 3 };
            let result =
                written.map(|()| Outcome { bytes_in: input.len(), bytes_out: output.written(), path });
            in_flight.finish(result.as_ref());
            result
        }
    }

    fn ready<T>(future: impl Future<Output = T> + Unpin) -> T {
        let mut future = future;
        match Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(made) => made,
            Poll::Pending => panic!("the provided `submit` does the work at once"),
        }
    }

    #[test]
    fn each_method_is_a_job() {
        let names = Names::default();
        let (as_compression, as_encryption): (&dyn CompressionAccelerator, &dyn EncryptionAccelerator) =
            (&names, &names);
        let any: &dyn HardwareAccelerator = as_compression;
        let (to, from) = (CompressOptions::new(Format::Gzip), DecompressOptions::new(Format::Gzip));
        let (key, iv) = (Key::new(&[1; 32]), Iv::new(&[2; 12]).unwrap());
        let options = CipherOptions::new(Cipher::AesGcm).iv(iv);
        let mut room = [0; 12];
        assert_eq!(as_compression.compress(b"x", &to).unwrap().0, b"compress");
        assert_eq!(any.decompress(b"x", &from).unwrap().0, b"decompress");
        assert_eq!(any.compress_into(b"x", &mut room, &to).unwrap().bytes_out, 8);
        assert_eq!(any.decompress_into(b"x", &mut room, &from).unwrap().bytes_out, 10);
        assert!(matches!(
            any.decompress_into(b"x", &mut room, &from.limit(9)),
            Err(Error::OutputTooSmall { required: Some(10), .. })
        ));
        assert!(matches!(any.decompress(b"x", &from.limit(9)), Err(Error::LimitExceeded { limit: 9 })));
        assert_eq!(as_encryption.decrypt(&key, b"x", &options).unwrap().0, b"decrypt");
        assert_eq!(any.decrypt_into(&key, b"x", &mut room, &options).unwrap().bytes_out, 7);
        assert_eq!(any.digest(Digest::Sha256, b"x").unwrap().0, b"digest");
        assert_eq!(any.hmac(&key, Digest::Sha256, b"x").unwrap().0, b"HMAC");
        let checksum = any.checksum(crate::Checksum::XxHash64, b"x").unwrap().0;
        assert_eq!(checksum, u64::from_be_bytes(*b"checksum"));

        assert_eq!(ready(any.compress_async(vec![1], to)).unwrap().0, b"compress");
        assert_eq!(ready(any.decompress_async(vec![1], from)).unwrap().0, b"decompress");
        assert_eq!(ready(any.decrypt_async(key.clone(), vec![1], options.clone())).unwrap().0, b"decrypt");
        assert_eq!(ready(any.digest_async(Digest::Sha256, vec![1])).unwrap().0, b"digest");
        assert_eq!(ready(any.hmac_async(key.clone(), Digest::Sha256, vec![1])).unwrap().0, b"HMAC");
        for done in [
            ready(any.compress_into_async(vec![1], vec![7; 10], to)),
            ready(any.decompress_into_async(vec![1], vec![7; 10], from)),
            ready(any.decrypt_into_async(key.clone(), vec![1], vec![7; 10], options.clone())),
        ] {
            let written = done.result.unwrap().bytes_out;
            assert_eq!((done.input, done.output.len()), (vec![1], 10));
            assert!(matches!(&done.output[..written], b"compress" | b"decompress" | b"decrypt"));
        }
        let done = ready(any.compress_into_async(vec![1], vec![7; 2], to));
        assert!(matches!(done.result, Err(Error::OutputTooSmall { required: Some(8), available: 2 })));
        assert_eq!((done.input, done.output), (vec![1], vec![7; 2]), "the buffers come back");
        let statistics = any.statistics();
        assert_eq!((statistics.operations, statistics.errors), (17, 3));
    }

    #[test]
    fn an_encryption_without_an_iv_draws_one() {
        let names = Names::default();
        let (key, plain) = (Key::new(&[1; 32]), vec![1]);
        for cipher in Cipher::ALL {
            let options = CipherOptions::new(cipher);
            let mut room = vec![0; 16];
            let (first, done) = names.encrypt(&key, &plain, &options).unwrap();
            assert_eq!((first.len(), done.iv.as_bytes()), (cipher.iv_len(), &first[..]));
            let done = names.encrypt_into(&key, &plain, &mut room, &options).unwrap();
            assert_eq!(done.iv.as_bytes(), &room[..cipher.iv_len()]);
            assert_ne!(done.iv.as_bytes(), first, "a new one each time");
            let done = ready(names.encrypt_into_async(key.clone(), plain.clone(), room, options.clone()));
            assert_eq!(done.result.unwrap().iv.as_bytes(), &done.output[..cipher.iv_len()]);
            let (output, done) = ready(names.encrypt_async(key.clone(), plain.clone(), options)).unwrap();
            assert_eq!(done.iv.as_bytes(), output);
        }
        let iv = Iv::new(&[2; 12]).unwrap();
        let options = CipherOptions::new(Cipher::AesGcm).iv(iv);
        assert_eq!(names.encrypt(&key, &plain, &options).unwrap().0, [2; 12], "the caller's");
    }

    #[test]
    fn process_refuses_what_needs_a_key_and_counts_it() {
        let names = Names::default();
        for (operation, call) in [
            (Operation::Encrypt, "EncryptionAccelerator::encrypt"),
            (Operation::Decrypt, "EncryptionAccelerator::decrypt"),
            (Operation::Hmac(Digest::Sha256), "EncryptionAccelerator::hmac"),
        ] {
            let error = names.process(&operation, b"x").unwrap_err();
            assert!(matches!(error, Error::Unsupported { accelerator: "names", .. }), "{error}");
            assert!(error.to_string().contains(call), "{error}");
        }
        let error = names.process(&Operation::Named("transmogrify".into()), b"x").unwrap_err();
        assert!(matches!(error, Error::InvalidArgument { argument: "operation", .. }), "{error}");
        assert!(error.to_string().contains("transmogrify"), "{error}");
        assert_eq!(names.process(&Operation::Digest(Digest::Sha256), b"x").unwrap().0, b"digest");
        assert_eq!((names.statistics().operations, names.statistics().errors), (1, 4));
    }
}
