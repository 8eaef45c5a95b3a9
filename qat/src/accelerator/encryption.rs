//! What the hardware does: encryption and digests.

use std::pin::pin;

use accel_core::{
    AcceleratorTypes, BoxFuture, CipherOptions, Completion, Digest, Encrypted, EncryptionAccelerator, Error,
    Key, Outcome, Result,
};

use super::QatAccelerator;
use super::counted::Counted;
use super::futures::{begun, failed, unwrapped};
use crate::device::encryption;
use crate::device::instances::{Started, WhenFull};
use crate::software::workers::keep;

impl QatAccelerator {
    pub(crate) fn encrypt_into_with(
        &self,
        key: &Key,
        plaintext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
        when_full: WhenFull,
    ) -> Result<Encrypted> {
        let work = |pool: &Started| {
            let call = self.call(pool, when_full);
            let done = match encryption::Sealing::begin(call, key, plaintext, output.len(), options) {
                Ok(Some((sealing, flight, instance))) => call
                    .wait(flight, instance)
                    .and_then(|landed| sealing.finish(call, landed, instance, output, options.cipher)),
                Ok(None) => pool.block_on(encryption::encrypt(call, key, plaintext, output, options)),
                Err(error) => Err(error),
            };
            self.told(done)
        };
        self.with_pool(AcceleratorTypes::ENCRYPTION, work, |done| &done.outcome)
    }

    pub(crate) fn encrypt_with(
        &self,
        key: &Key,
        plaintext: &[u8],
        options: &CipherOptions<'_>,
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Encrypted)> {
        let mut output = vec![0; options.cipher.ciphertext_len(plaintext.len())];
        let done = self.encrypt_into_with(key, plaintext, &mut output, options, when_full)?;
        Ok((output, done))
    }

    pub(crate) fn decrypt_into_with(
        &self,
        key: &Key,
        ciphertext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
        when_full: WhenFull,
    ) -> Result<Outcome> {
        let work = |pool: &Started| {
            let call = self.call(pool, when_full);
            let done = match encryption::Opening::begin(call, key, ciphertext, output.len(), options) {
                Ok(Some((opening, flight, instance))) => call
                    .wait(flight, instance)
                    .and_then(|landed| opening.finish(call, &landed, instance, output, options.cipher)),
                Ok(None) => pool.block_on(encryption::decrypt(call, key, ciphertext, output, options)),
                Err(error) => Err(error),
            };
            self.told(done)
        };
        self.with_pool(AcceleratorTypes::ENCRYPTION, work, |outcome| outcome)
    }

    pub(crate) fn decrypt_with(
        &self,
        key: &Key,
        ciphertext: &[u8],
        options: &CipherOptions<'_>,
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Outcome)> {
        let mut output = vec![0; plain_room(ciphertext, options)];
        let outcome = self.decrypt_into_with(key, ciphertext, &mut output, options, when_full)?;
        output.truncate(outcome.bytes_out);
        Ok((output, outcome))
    }

    pub(crate) fn digest_with(
        &self,
        digest: Digest,
        input: &[u8],
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Outcome)> {
        let work =
            |pool: &Started| pool.block_on(encryption::digest(self.call(pool, when_full), digest, input));
        self.with_pool(AcceleratorTypes::HASHING, work, |(_, outcome)| outcome)
    }

    pub(crate) fn hmac_with(
        &self,
        key: &Key,
        digest: Digest,
        input: &[u8],
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Outcome)> {
        let work = |pool: &Started| {
            self.told(pool.block_on(encryption::hmac(self.call(pool, when_full), key, digest, input)))
        };
        self.with_pool(AcceleratorTypes::ENCRYPTION, work, |(_, outcome)| outcome)
    }

    /// As [`hmac_with`](Self::hmac_with); the output is the HMAC.
    pub(crate) fn hmac_owned(
        &self,
        key: Key,
        digest: Digest,
        input: Vec<u8>,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        let this = self.clone();
        begun(async move {
            let mut output = Vec::new();
            let work = async {
                let pool = this.pool_async(AcceleratorTypes::ENCRYPTION).await?;
                let made = encryption::hmac(this.call(&pool, when_full), &key, digest, &input).await;
                keep(this.told(made), &mut output)
            };
            let result = this.counted(pin!(work), |outcome| outcome).await;
            Completion { input, output, result }
        })
    }

    /// The result, of which the registry is told if the device turned out not to do this.
    #[inline(always)]
    fn told<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(Error::Unsupported { .. }) = &result {
            self.0.publication.report_failed_trials();
        }
        result
    }

    pub(crate) fn encrypt_owned(
        &self,
        key: Key,
        input: Vec<u8>,
        mut output: Vec<u8>,
        options: CipherOptions<'static>,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Encrypted>> {
        let counted = Counted::begin(self.clone());
        let pool = self.started_pool(AcceleratorTypes::ENCRYPTION);
        let sealing = match &pool {
            Some(pool) => {
                let call = self.call(pool, when_full);
                self.told(encryption::Sealing::begin(call, &key, &input, output.len(), &options))
            }
            None => Ok(None),
        };
        match (sealing, pool) {
            (Ok(Some((sealing, flight, instance))), Some(pool)) => Box::pin(async move {
                let call = counted.accelerator().call(&pool, when_full);
                let landed = call.completed(flight.await, instance);
                let result = landed
                    .and_then(|landed| sealing.finish(call, landed, instance, &mut output, options.cipher));
                let result = counted.end(result, |done| &done.outcome);
                Completion { input, output, result }
            }),
            (Err(error), _) => failed(counted, (input, output), error),
            (Ok(_), _) => begun(async move {
                let work = async {
                    let this = counted.accelerator();
                    let pool = this.pool_async(AcceleratorTypes::ENCRYPTION).await?;
                    let call = this.call(&pool, when_full);
                    this.told(encryption::encrypt(call, &key, &input, &mut output, &options).await)
                };
                let result = { pin!(work).await };
                let result = counted.end(result, |done| &done.outcome);
                Completion { input, output, result }
            }),
        }
    }

    /// As [`encrypt_owned`](Self::encrypt_owned), into a vector of its own, cut to what was written.
    pub(crate) fn encrypt_anew(
        &self,
        key: Key,
        input: Vec<u8>,
        options: CipherOptions<'static>,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Encrypted>> {
        let room = vec![0; options.cipher.ciphertext_len(input.len())];
        let done = self.encrypt_owned(key, input, room, options, when_full);
        Box::pin(async {
            let mut done = done.await;
            done.output.truncate(done.result.as_ref().map_or(0, |done| done.outcome.bytes_out));
            done
        })
    }

    pub(crate) fn decrypt_owned(
        &self,
        key: Key,
        input: Vec<u8>,
        mut output: Vec<u8>,
        options: CipherOptions<'static>,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        let counted = Counted::begin(self.clone());
        let pool = self.started_pool(AcceleratorTypes::ENCRYPTION);
        let opening = match &pool {
            Some(pool) => {
                let call = self.call(pool, when_full);
                self.told(encryption::Opening::begin(call, &key, &input, output.len(), &options))
            }
            None => Ok(None),
        };
        match (opening, pool) {
            (Ok(Some((opening, flight, instance))), Some(pool)) => Box::pin(async move {
                let call = counted.accelerator().call(&pool, when_full);
                let landed = call.completed(flight.await, instance);
                let result = landed
                    .and_then(|landed| opening.finish(call, &landed, instance, &mut output, options.cipher));
                let result = counted.end(result, |outcome| outcome);
                Completion { input, output, result }
            }),
            (Err(error), _) => failed(counted, (input, output), error),
            (Ok(_), _) => begun(async move {
                let work = async {
                    let this = counted.accelerator();
                    let pool = this.pool_async(AcceleratorTypes::ENCRYPTION).await?;
                    let call = this.call(&pool, when_full);
                    this.told(encryption::decrypt(call, &key, &input, &mut output, &options).await)
                };
                let result = { pin!(work).await };
                let result = counted.end(result, |outcome| outcome);
                Completion { input, output, result }
            }),
        }
    }

    /// As [`encrypt_anew`](Self::encrypt_anew).
    pub(crate) fn decrypt_anew(
        &self,
        key: Key,
        input: Vec<u8>,
        options: CipherOptions<'static>,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        let room = vec![0; plain_room(&input, &options)];
        let done = self.decrypt_owned(key, input, room, options, when_full);
        Box::pin(async {
            let mut done = done.await;
            done.output.truncate(done.result.as_ref().map_or(0, |outcome| outcome.bytes_out));
            done
        })
    }
}

/// Room for the plaintext, padding included.
fn plain_room(ciphertext: &[u8], options: &CipherOptions<'_>) -> usize {
    ciphertext.len().saturating_sub(options.cipher.tag_len())
}

impl EncryptionAccelerator for QatAccelerator {
    fn encrypt(
        &self,
        key: &Key,
        plaintext: &[u8],
        options: &CipherOptions<'_>,
    ) -> Result<(Vec<u8>, Encrypted)> {
        self.encrypt_with(key, plaintext, options, WhenFull::Wait)
    }

    fn encrypt_into(
        &self,
        key: &Key,
        plaintext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
    ) -> Result<Encrypted> {
        self.encrypt_into_with(key, plaintext, output, options, WhenFull::Wait)
    }

    fn decrypt(
        &self,
        key: &Key,
        ciphertext: &[u8],
        options: &CipherOptions<'_>,
    ) -> Result<(Vec<u8>, Outcome)> {
        self.decrypt_with(key, ciphertext, options, WhenFull::Wait)
    }

    fn decrypt_into(
        &self,
        key: &Key,
        ciphertext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
    ) -> Result<Outcome> {
        self.decrypt_into_with(key, ciphertext, output, options, WhenFull::Wait)
    }

    fn encrypt_async(
        &self,
        key: Key,
        plaintext: Vec<u8>,
        options: CipherOptions<'static>,
    ) -> BoxFuture<Result<(Vec<u8>, Encrypted)>> {
        unwrapped(self.encrypt_anew(key, plaintext, options, WhenFull::Wait))
    }

    fn encrypt_into_async(
        &self,
        key: Key,
        plaintext: Vec<u8>,
        output: Vec<u8>,
        options: CipherOptions<'static>,
    ) -> BoxFuture<Completion<Encrypted>> {
        self.encrypt_owned(key, plaintext, output, options, WhenFull::Wait)
    }

    fn decrypt_async(
        &self,
        key: Key,
        ciphertext: Vec<u8>,
        options: CipherOptions<'static>,
    ) -> BoxFuture<Result<(Vec<u8>, Outcome)>> {
        unwrapped(self.decrypt_anew(key, ciphertext, options, WhenFull::Wait))
    }

    fn decrypt_into_async(
        &self,
        key: Key,
        ciphertext: Vec<u8>,
        output: Vec<u8>,
        options: CipherOptions<'static>,
    ) -> BoxFuture<Completion<Outcome>> {
        self.decrypt_owned(key, ciphertext, output, options, WhenFull::Wait)
    }

    fn hmac(&self, key: &Key, digest: Digest, input: &[u8]) -> Result<(Vec<u8>, Outcome)> {
        self.hmac_with(key, digest, input, WhenFull::Wait)
    }

    fn hmac_async(&self, key: Key, digest: Digest, input: Vec<u8>) -> BoxFuture<Result<(Vec<u8>, Outcome)>> {
        unwrapped(self.hmac_owned(key, digest, input, WhenFull::Wait))
    }
}
