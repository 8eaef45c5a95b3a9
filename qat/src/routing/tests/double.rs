//! Hardware that does what a test wants: works by the CPU engine, refuses, fails, is full, takes until it is let go.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, ThreadId};

use accel_core::{
    AcceleratorTypes, BoxFuture, CipherOptions, Completion, CompressOptions, DecompressOptions, Digest,
    Encrypted, Error, ExecutedOn, Key, Operation, Outcome, Result,
};
use futures_channel::oneshot;

use super::super::hardware::Hardware;
use crate::device::instances::WhenFull;
use crate::software::{self, workers};

pub(super) const HERE: ExecutedOn = ExecutedOn::Hardware { instance: 7 };

#[derive(Debug, Clone)]
pub(super) struct Double(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
    calls: AtomicU64,
}

#[derive(Debug)]
struct State {
    types: AcceleratorTypes,
    capacity: usize,
    in_flight: usize,
    is_open: bool,
    error: Option<Error>,
    asked_by: Option<ThreadId>,
}

impl Double {
    /// One that has room and works.
    pub(super) fn new() -> Self {
        let state = State {
            types: AcceleratorTypes::all(),
            capacity: usize::MAX,
            in_flight: 0,
            is_open: true,
            error: None,
            asked_by: None,
        };
        Self(Arc::new(Inner { state: state.into(), changed: Condvar::new(), calls: AtomicU64::new(0) }))
    }

    fn set(self, set: impl FnOnce(&mut State)) -> Self {
        set(&mut self.0.state.lock().unwrap());
        self.0.changed.notify_all();
        self
    }

    /// One that can work on these.
    pub(super) fn types(self, types: AcceleratorTypes) -> Self {
        self.set(|state| state.types = types)
    }

    /// One with room for so many requests.
    pub(super) fn capacity(self, capacity: usize) -> Self {
        self.set(|state| state.capacity = capacity)
    }

    /// One that answers every request with this.
    pub(super) fn fails(self, error: impl Into<Option<Error>>) -> Self {
        self.set(|state| state.error = error.into())
    }

    /// One that keeps its requests until it is [`open`](Self::open).
    pub(super) fn closed(self) -> Self {
        self.set(|state| state.is_open = false)
    }

    pub(super) fn open(&self) {
        self.clone().set(|state| state.is_open = true);
    }

    /// Requests that it got, those that it had no room for included.
    pub(super) fn calls(&self) -> u64 {
        self.0.calls.load(SeqCst)
    }

    /// The thread that first asked whether it is there.
    pub(super) fn asked_by(&self) -> Option<ThreadId> {
        self.0.state.lock().unwrap().asked_by
    }

    fn enter(&self, when_full: WhenFull) -> Result<()> {
        self.0.calls.fetch_add(1, SeqCst);
        let mut state = self.0.state.lock().unwrap();
        while state.in_flight >= state.capacity {
            if when_full == WhenFull::Fail {
                return Err(Error::Busy { accelerator: "double" });
            }
            state = self.0.changed.wait(state).unwrap();
        }
        state.in_flight += 1;
        Ok(())
    }

    fn work<T>(&self, work: impl FnOnce(ExecutedOn) -> Result<T>) -> Result<T> {
        let mut state = self.0.state.lock().unwrap();
        while !state.is_open {
            state = self.0.changed.wait(state).unwrap();
        }
        let error = state.error.clone();
        drop(state);
        let result = error.map_or_else(|| work(HERE), Err);
        self.0.state.lock().unwrap().in_flight -= 1;
        self.0.changed.notify_all();
        result
    }

    fn serve<T>(&self, when_full: WhenFull, work: impl FnOnce(ExecutedOn) -> Result<T>) -> Result<T> {
        self.enter(when_full)?;
        self.work(work)
    }

    /// Takes the request at once and answers from a thread of its own. What it writes before it fails is seen too.
    fn serve_later<T: Send + 'static>(
        &self,
        when_full: WhenFull,
        input: Vec<u8>,
        mut output: Vec<u8>,
        work: impl FnOnce(&[u8], &mut Vec<u8>, ExecutedOn) -> Result<T> + Send + 'static,
    ) -> BoxFuture<Completion<T>> {
        if let Err(error) = self.enter(when_full) {
            return Box::pin(std::future::ready(Completion { input, output, result: Err(error) }));
        }
        let (sender, receiver) = oneshot::channel();
        let this = self.clone();
        thread::spawn(move || {
            output.fill(0xEE);
            let result = this.work(|path| work(&input, &mut output, path));
            let _ = sender.send(Completion { input, output, result });
        });
        Box::pin(async { receiver.await.expect("the double's thread answers") })
    }
}

impl Hardware for Double {
    fn is_available_for(&self, types: AcceleratorTypes) -> bool {
        let mut state = self.0.state.lock().unwrap();
        state.asked_by.get_or_insert(thread::current().id());
        state.types.contains(types)
    }

    fn in_flight(&self) -> u64 {
        self.0.state.lock().unwrap().in_flight as u64
    }

    fn process(
        &self,
        operation: &Operation,
        input: &[u8],
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Outcome)> {
        self.serve(when_full, |path| software::process("double", operation, input, path))
    }

    fn compress(
        &self,
        input: &[u8],
        options: &CompressOptions,
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Outcome)> {
        self.serve(when_full, |path| software::compress(input, options, path))
    }

    fn compress_into(
        &self,
        input: &[u8],
        output: &mut [u8],
        options: &CompressOptions,
        when_full: WhenFull,
    ) -> Result<Outcome> {
        self.serve(when_full, |path| software::compress_into(input, output, options, path))
    }

    fn decompress(
        &self,
        input: &[u8],
        options: &DecompressOptions,
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Outcome)> {
        self.serve(when_full, |path| software::decompress(input, options, path))
    }

    fn decompress_into(
        &self,
        input: &[u8],
        output: &mut [u8],
        options: &DecompressOptions,
        when_full: WhenFull,
    ) -> Result<Outcome> {
        self.serve(when_full, |path| software::decompress_into(input, output, options, path))
    }

    fn encrypt(
        &self,
        key: &Key,
        plaintext: &[u8],
        options: &CipherOptions<'_>,
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Encrypted)> {
        self.serve(when_full, |path| software::encrypt(key, plaintext, options, path))
    }

    fn encrypt_into(
        &self,
        key: &Key,
        plaintext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
        when_full: WhenFull,
    ) -> Result<Encrypted> {
        self.serve(when_full, |path| software::encrypt_into(key, plaintext, output, options, path))
    }

    fn decrypt(
        &self,
        key: &Key,
        ciphertext: &[u8],
        options: &CipherOptions<'_>,
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Outcome)> {
        self.serve(when_full, |path| software::decrypt(key, ciphertext, options, path))
    }

    fn decrypt_into(
        &self,
        key: &Key,
        ciphertext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
        when_full: WhenFull,
    ) -> Result<Outcome> {
        self.serve(when_full, |path| software::decrypt_into(key, ciphertext, output, options, path))
    }

    fn compress_async(
        &self,
        input: Vec<u8>,
        options: CompressOptions,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        self.serve_later(when_full, input, Vec::new(), move |input, output, path| {
            workers::keep(software::compress(input, &options, path), output)
        })
    }

    fn compress_into_async(
        &self,
        input: Vec<u8>,
        output: Vec<u8>,
        options: CompressOptions,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        self.serve_later(when_full, input, output, move |input, output, path| {
            software::compress_into(input, output, &options, path)
        })
    }

    fn decompress_async(
        &self,
        input: Vec<u8>,
        options: DecompressOptions,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        self.serve_later(when_full, input, Vec::new(), move |input, output, path| {
            workers::keep(software::decompress(input, &options, path), output)
        })
    }

    fn decompress_into_async(
        &self,
        input: Vec<u8>,
        output: Vec<u8>,
        options: DecompressOptions,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        self.serve_later(when_full, input, output, move |input, output, path| {
            software::decompress_into(input, output, &options, path)
        })
    }

    fn encrypt_async(
        &self,
        key: Key,
        plaintext: Vec<u8>,
        options: CipherOptions<'static>,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Encrypted>> {
        self.serve_later(when_full, plaintext, Vec::new(), move |input, output, path| {
            workers::keep(software::encrypt(&key, input, &options, path), output)
        })
    }

    fn encrypt_into_async(
        &self,
        key: Key,
        plaintext: Vec<u8>,
        output: Vec<u8>,
        options: CipherOptions<'static>,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Encrypted>> {
        self.serve_later(when_full, plaintext, output, move |input, output, path| {
            software::encrypt_into(&key, input, output, &options, path)
        })
    }

    fn decrypt_async(
        &self,
        key: Key,
        ciphertext: Vec<u8>,
        options: CipherOptions<'static>,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        self.serve_later(when_full, ciphertext, Vec::new(), move |input, output, path| {
            workers::keep(software::decrypt(&key, input, &options, path), output)
        })
    }

    fn decrypt_into_async(
        &self,
        key: Key,
        ciphertext: Vec<u8>,
        output: Vec<u8>,
        options: CipherOptions<'static>,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        self.serve_later(when_full, ciphertext, output, move |input, output, path| {
            software::decrypt_into(&key, input, output, &options, path)
        })
    }

    fn hmac(
        &self,
        key: &Key,
        digest: Digest,
        input: &[u8],
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Outcome)> {
        self.serve(when_full, |path| software::authenticate(key, digest, input, path))
    }

    fn hmac_async(
        &self,
        key: Key,
        digest: Digest,
        input: Vec<u8>,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        self.serve_later(when_full, input, Vec::new(), move |input, output, path| {
            workers::keep(software::authenticate(&key, digest, input, path), output)
        })
    }
}
