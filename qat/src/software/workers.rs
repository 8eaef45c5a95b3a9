//! Where asynchronous calls run: rayon's pool, so that a future never blocks the executor that polls it.

use accel_core::{BoxFuture, Completion, Error, Result};
use futures_channel::oneshot;

/// Runs `work` on the pool. Dropping the future does not stop the work; its result is then thrown away.
pub(crate) fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
    let (sender, receiver) = oneshot::channel();
    rayon_core::spawn(move || {
        // Nobody may be waiting any more.
        let _ = sender.send(work());
    });
    receiver
}

fn lost<T>(_: oneshot::Canceled) -> Result<T> {
    Err(Error::Internal { engine: super::NAME, detail: "a worker thread panicked".into() })
}

/// A call whose buffers are its own.
pub(crate) fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> BoxFuture<Result<T>> {
    let result = spawn(work);
    Box::pin(async { result.await.unwrap_or_else(lost) })
}

/// A call that hands both buffers back.
pub(crate) fn run_into<T: Send + 'static>(
    input: Vec<u8>,
    output: Vec<u8>,
    work: impl FnOnce(&[u8], &mut [u8]) -> Result<T> + Send + 'static,
) -> BoxFuture<Completion<T>> {
    run_owned(input, output, move |input, output| work(input, output))
}

/// Puts what a call made in the place of its output.
pub(crate) fn keep<T>(made: Result<(Vec<u8>, T)>, output: &mut Vec<u8>) -> Result<T> {
    let (bytes, done) = made?;
    *output = bytes;
    Ok(done)
}

/// A call that may replace its output, and hands both buffers back.
pub(crate) fn run_owned<T: Send + 'static>(
    input: Vec<u8>,
    mut output: Vec<u8>,
    work: impl FnOnce(&[u8], &mut Vec<u8>) -> Result<T> + Send + 'static,
) -> BoxFuture<Completion<T>> {
    let completion = spawn(move || {
        let result = work(&input, &mut output);
        Completion { input, output, result }
    });
    Box::pin(async { completion.await.unwrap_or_else(lost_buffers) })
}

/// The completion of a call whose thread is gone, and with it the buffers.
pub(crate) fn lost_buffers<T>(gone: oneshot::Canceled) -> Completion<T> {
    Completion { input: Vec::new(), output: Vec::new(), result: lost(gone) }
}

/// The asynchronous half of [`accel_core::CompressionAccelerator`], by the blocking half on the pool.
macro_rules! compression_futures {
    () => {
        fn compress_async(
            &self,
            input: Vec<u8>,
            options: CompressOptions,
        ) -> BoxFuture<Result<(Vec<u8>, Outcome)>> {
            let this = self.clone();
            $crate::software::workers::run(move || this.compress(&input, &options))
        }

        fn compress_into_async(
            &self,
            input: Vec<u8>,
            output: Vec<u8>,
            options: CompressOptions,
        ) -> BoxFuture<Completion<Outcome>> {
            let this = self.clone();
            $crate::software::workers::run_into(input, output, move |i, o| this.compress_into(i, o, &options))
        }

        fn decompress_async(
            &self,
            input: Vec<u8>,
            options: DecompressOptions,
        ) -> BoxFuture<Result<(Vec<u8>, Outcome)>> {
            let this = self.clone();
            $crate::software::workers::run(move || this.decompress(&input, &options))
        }

        fn decompress_into_async(
            &self,
            input: Vec<u8>,
            output: Vec<u8>,
            options: DecompressOptions,
        ) -> BoxFuture<Completion<Outcome>> {
            let this = self.clone();
            $crate::software::workers::run_into(input, output, move |i, o| {
                this.decompress_into(i, o, &options)
            })
        }
    };
}

/// The asynchronous half of [`accel_core::EncryptionAccelerator`], by the blocking half on the pool.
macro_rules! encryption_futures {
    () => {
        fn encrypt_async(
            &self,
            key: Key,
            plaintext: Vec<u8>,
            options: CipherOptions<'static>,
        ) -> BoxFuture<Result<(Vec<u8>, Encrypted)>> {
            let this = self.clone();
            $crate::software::workers::run(move || this.encrypt(&key, &plaintext, &options))
        }

        fn encrypt_into_async(
            &self,
            key: Key,
            plaintext: Vec<u8>,
            output: Vec<u8>,
            options: CipherOptions<'static>,
        ) -> BoxFuture<Completion<Encrypted>> {
            let this = self.clone();
            $crate::software::workers::run_into(plaintext, output, move |i, o| {
                this.encrypt_into(&key, i, o, &options)
            })
        }

        fn decrypt_async(
            &self,
            key: Key,
            ciphertext: Vec<u8>,
            options: CipherOptions<'static>,
        ) -> BoxFuture<Result<(Vec<u8>, Outcome)>> {
            let this = self.clone();
            $crate::software::workers::run(move || this.decrypt(&key, &ciphertext, &options))
        }

        fn decrypt_into_async(
            &self,
            key: Key,
            ciphertext: Vec<u8>,
            output: Vec<u8>,
            options: CipherOptions<'static>,
        ) -> BoxFuture<Completion<Outcome>> {
            let this = self.clone();
            $crate::software::workers::run_into(ciphertext, output, move |i, o| {
                this.decrypt_into(&key, i, o, &options)
            })
        }

        fn hmac_async(
            &self,
            key: Key,
            digest: Digest,
            input: Vec<u8>,
        ) -> BoxFuture<Result<(Vec<u8>, Outcome)>> {
            let this = self.clone();
            $crate::software::workers::run(move || this.hmac(&key, digest, &input))
        }
    };
}

pub(crate) use {compression_futures, encryption_futures};
