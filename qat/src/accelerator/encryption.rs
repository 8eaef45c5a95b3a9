//! What the hardware does: encryption and digests.

use std::sync::Arc;

use accel_core::{
    AcceleratorTypes, BoxFuture, CipherOptions, Completion, Digest, Encrypted, EncryptionAccelerator, Error,
    Key, Outcome, Result,
};

use super::{QatAccelerator, missing_service, unavailable};
use crate::Unavailability;
use crate::cy;
use crate::instance::{Call, Patience, Pool};
use crate::software::pool;

impl QatAccelerator {
    pub(crate) fn encrypt_into_with(
        &self,
        key: &Key,
        plaintext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
        patience: Patience,
    ) -> Result<Encrypted> {
        let work = |pool: &Pool| {
            self.told(
                pool,
                pool.block_on(cy::encrypt(self.call(pool, patience), key, plaintext, output, options)),
            )
        };
        self.with_pool(AcceleratorTypes::ENCRYPTION, work, |done| &done.outcome)
    }

    pub(crate) fn encrypt_with(
        &self,
        key: &Key,
        plaintext: &[u8],
        options: &CipherOptions<'_>,
        patience: Patience,
    ) -> Result<(Vec<u8>, Encrypted)> {
        let mut output = vec![0; options.cipher.ciphertext_len(plaintext.len())];
        let done = self.encrypt_into_with(key, plaintext, &mut output, options, patience)?;
        Ok((output, done))
    }

    pub(crate) fn decrypt_into_with(
        &self,
        key: &Key,
        ciphertext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
        patience: Patience,
    ) -> Result<Outcome> {
        let work = |pool: &Pool| {
            self.told(
                pool,
                pool.block_on(cy::decrypt(self.call(pool, patience), key, ciphertext, output, options)),
            )
        };
        self.with_pool(AcceleratorTypes::ENCRYPTION, work, |outcome| outcome)
    }

    pub(crate) fn decrypt_with(
        &self,
        key: &Key,
        ciphertext: &[u8],
        options: &CipherOptions<'_>,
        patience: Patience,
    ) -> Result<(Vec<u8>, Outcome)> {
        let mut output = vec![0; plain_room(ciphertext, options)];
        let outcome = self.decrypt_into_with(key, ciphertext, &mut output, options, patience)?;
        output.truncate(outcome.bytes_out);
        Ok((output, outcome))
    }

    pub(crate) fn digest_with(
        &self,
        digest: Digest,
        input: &[u8],
        patience: Patience,
    ) -> Result<(Vec<u8>, Outcome)> {
        let work = |pool: &Pool| pool.block_on(cy::digest(self.call(pool, patience), digest, input));
        self.with_pool(AcceleratorTypes::HASHING, work, |(_, outcome)| outcome)
    }

    /// The result, of which the registry is told if the device turned out not to do this.
    fn told<T>(&self, pool: &Pool, result: Result<T>) -> Result<T> {
        if let Err(Error::Unsupported { .. }) = &result {
            self.0.tell_failed_trials(pool);
        }
        result
    }

    /// The pool, for a future: detection, which may take long, is left to another thread.
    async fn pool_later(&self, types: AcceleratorTypes) -> Result<Arc<Pool>> {
        if self.0.valid_answer().is_none() {
            let this = self.clone();
            // Should that thread fail, this one asks itself.
            let _ = pool::spawn(move || drop(this.0.answer())).await;
        }
        match &self.0.answer().result {
            Ok(pool) => match missing_service(&pool.services, types) {
                None => Ok(pool.clone()),
                Some(service) => {
                    Err(unavailable(Unavailability::NoInstances { service: Some(service) }.into()))
                }
            },
            Err(reason) => Err(unavailable(reason.clone())),
        }
    }

    pub(crate) async fn encrypt_later(
        self,
        key: Key,
        input: Vec<u8>,
        mut output: Vec<u8>,
        options: CipherOptions<'static>,
        patience: Patience,
    ) -> Completion<Encrypted> {
        let in_flight = self.0.recorder.start();
        let result = match self.pool_later(AcceleratorTypes::ENCRYPTION).await {
            Ok(pool) => {
                let call = Call { pool: &pool, recorder: &self.0.recorder, patience };
                self.told(&pool, cy::encrypt(call, &key, &input, &mut output, &options).await)
            }
            Err(error) => Err(error),
        };
        in_flight.finish(result.as_ref().map(|done| &done.outcome));
        Completion { input, output, result }
    }

    pub(crate) async fn decrypt_later(
        self,
        key: Key,
        input: Vec<u8>,
        mut output: Vec<u8>,
        options: CipherOptions<'static>,
        patience: Patience,
    ) -> Completion<Outcome> {
        let in_flight = self.0.recorder.start();
        let result = match self.pool_later(AcceleratorTypes::ENCRYPTION).await {
            Ok(pool) => {
                let call = Call { pool: &pool, recorder: &self.0.recorder, patience };
                self.told(&pool, cy::decrypt(call, &key, &input, &mut output, &options).await)
            }
            Err(error) => Err(error),
        };
        in_flight.finish(result.as_ref());
        Completion { input, output, result }
    }

    /// The form without `into`: the output is what was made, and nothing after a failure.
    pub(crate) async fn encrypt_anew(
        self,
        key: Key,
        input: Vec<u8>,
        options: CipherOptions<'static>,
        patience: Patience,
    ) -> Completion<Encrypted> {
        let room = vec![0; options.cipher.ciphertext_len(input.len())];
        let mut done = self.encrypt_later(key, input, room, options, patience).await;
        done.output.truncate(done.result.as_ref().map_or(0, |done| done.outcome.bytes_out));
        done
    }

    /// As [`encrypt_anew`](Self::encrypt_anew).
    pub(crate) async fn decrypt_anew(
        self,
        key: Key,
        input: Vec<u8>,
        options: CipherOptions<'static>,
        patience: Patience,
    ) -> Completion<Outcome> {
        let room = vec![0; plain_room(&input, &options)];
        let mut done = self.decrypt_later(key, input, room, options, patience).await;
        done.output.truncate(done.result.as_ref().map_or(0, |outcome| outcome.bytes_out));
        done
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
        self.encrypt_with(key, plaintext, options, Patience::Wait)
    }

    fn encrypt_into(
        &self,
        key: &Key,
        plaintext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
    ) -> Result<Encrypted> {
        self.encrypt_into_with(key, plaintext, output, options, Patience::Wait)
    }

    fn decrypt(
        &self,
        key: &Key,
        ciphertext: &[u8],
        options: &CipherOptions<'_>,
    ) -> Result<(Vec<u8>, Outcome)> {
        self.decrypt_with(key, ciphertext, options, Patience::Wait)
    }

    fn decrypt_into(
        &self,
        key: &Key,
        ciphertext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
    ) -> Result<Outcome> {
        self.decrypt_into_with(key, ciphertext, output, options, Patience::Wait)
    }

    fn encrypt_async(
        &self,
        key: Key,
        plaintext: Vec<u8>,
        options: CipherOptions<'static>,
    ) -> BoxFuture<Result<(Vec<u8>, Encrypted)>> {
        let done = self.clone().encrypt_anew(key, plaintext, options, Patience::Wait);
        Box::pin(async {
            let Completion { output, result, .. } = done.await;
            Ok((output, result?))
        })
    }

    fn encrypt_into_async(
        &self,
        key: Key,
        plaintext: Vec<u8>,
        output: Vec<u8>,
        options: CipherOptions<'static>,
    ) -> BoxFuture<Completion<Encrypted>> {
        Box::pin(self.clone().encrypt_later(key, plaintext, output, options, Patience::Wait))
    }

    fn decrypt_async(
        &self,
        key: Key,
        ciphertext: Vec<u8>,
        options: CipherOptions<'static>,
    ) -> BoxFuture<Result<(Vec<u8>, Outcome)>> {
        let done = self.clone().decrypt_anew(key, ciphertext, options, Patience::Wait);
        Box::pin(async {
            let Completion { output, result, .. } = done.await;
            Ok((output, result?))
        })
    }

    fn decrypt_into_async(
        &self,
        key: Key,
        ciphertext: Vec<u8>,
        output: Vec<u8>,
        options: CipherOptions<'static>,
    ) -> BoxFuture<Completion<Outcome>> {
        Box::pin(self.clone().decrypt_later(key, ciphertext, output, options, Patience::Wait))
    }
}
