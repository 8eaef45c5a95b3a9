//! What the hardware does: encryption and digests.

use std::pin::pin;

use accel_core::{
    AcceleratorTypes, BoxFuture, CipherOptions, Completion, Digest, Encrypted, EncryptionAccelerator, Error,
    Key, Outcome, Result,
};

use super::QatAccelerator;
use super::futures::{begun, unwrapped};
use crate::cy;
use crate::instance::{Patience, Pool};
use crate::software::pool::keep;

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
            self.told(pool.block_on(cy::encrypt(self.call(pool, patience), key, plaintext, output, options)))
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
            self.told(pool.block_on(cy::decrypt(self.call(pool, patience), key, ciphertext, output, options)))
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

    pub(crate) fn hmac_with(
        &self,
        key: &Key,
        digest: Digest,
        input: &[u8],
        patience: Patience,
    ) -> Result<(Vec<u8>, Outcome)> {
        let work =
            |pool: &Pool| self.told(pool.block_on(cy::hmac(self.call(pool, patience), key, digest, input)));
        self.with_pool(AcceleratorTypes::ENCRYPTION, work, |(_, outcome)| outcome)
    }

    /// As [`hmac_with`](Self::hmac_with); the output is the HMAC.
    pub(crate) fn hmac_owned(
        &self,
        key: Key,
        digest: Digest,
        input: Vec<u8>,
        patience: Patience,
    ) -> BoxFuture<Completion<Outcome>> {
        let this = self.clone();
        begun(async move {
            let mut output = Vec::new();
            let work = async {
                let pool = this.pool_async(AcceleratorTypes::ENCRYPTION).await?;
                let made = cy::hmac(this.call(&pool, patience), &key, digest, &input).await;
                keep(this.told(made), &mut output)
            };
            let result = this.counted(pin!(work), |outcome| outcome).await;
            Completion { input, output, result }
        })
    }

    /// The result, of which the registry is told if the device turned out not to do this.
    fn told<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(Error::Unsupported { .. }) = &result {
            self.0.board.tell_failed_trials();
        }
        result
    }

    pub(crate) fn encrypt_owned(
        &self,
        key: Key,
        input: Vec<u8>,
        mut output: Vec<u8>,
        options: CipherOptions<'static>,
        patience: Patience,
    ) -> BoxFuture<Completion<Encrypted>> {
        let this = self.clone();
        begun(async move {
            let work = async {
                let pool = this.pool_async(AcceleratorTypes::ENCRYPTION).await?;
                let call = this.call(&pool, patience);
                this.told(cy::encrypt(call, &key, &input, &mut output, &options).await)
            };
            let result = this.counted(pin!(work), |done| &done.outcome).await;
            Completion { input, output, result }
        })
    }

    /// As [`encrypt_owned`](Self::encrypt_owned), into a vector of its own, cut to what was written.
    pub(crate) fn encrypt_anew(
        &self,
        key: Key,
        input: Vec<u8>,
        options: CipherOptions<'static>,
        patience: Patience,
    ) -> BoxFuture<Completion<Encrypted>> {
        let room = vec![0; options.cipher.ciphertext_len(input.len())];
        let done = self.encrypt_owned(key, input, room, options, patience);
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
        patience: Patience,
    ) -> BoxFuture<Completion<Outcome>> {
        let this = self.clone();
        begun(async move {
            let work = async {
                let pool = this.pool_async(AcceleratorTypes::ENCRYPTION).await?;
                let call = this.call(&pool, patience);
                this.told(cy::decrypt(call, &key, &input, &mut output, &options).await)
            };
            let result = this.counted(pin!(work), |outcome| outcome).await;
            Completion { input, output, result }
        })
    }

    /// As [`encrypt_anew`](Self::encrypt_anew).
    pub(crate) fn decrypt_anew(
        &self,
        key: Key,
        input: Vec<u8>,
        options: CipherOptions<'static>,
        patience: Patience,
    ) -> BoxFuture<Completion<Outcome>> {
        let room = vec![0; plain_room(&input, &options)];
        let done = self.decrypt_owned(key, input, room, options, patience);
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
        unwrapped(self.encrypt_anew(key, plaintext, options, Patience::Wait))
    }

    fn encrypt_into_async(
        &self,
        key: Key,
        plaintext: Vec<u8>,
        output: Vec<u8>,
        options: CipherOptions<'static>,
    ) -> BoxFuture<Completion<Encrypted>> {
        self.encrypt_owned(key, plaintext, output, options, Patience::Wait)
    }

    fn decrypt_async(
        &self,
        key: Key,
        ciphertext: Vec<u8>,
        options: CipherOptions<'static>,
    ) -> BoxFuture<Result<(Vec<u8>, Outcome)>> {
        unwrapped(self.decrypt_anew(key, ciphertext, options, Patience::Wait))
    }

    fn decrypt_into_async(
        &self,
        key: Key,
        ciphertext: Vec<u8>,
        output: Vec<u8>,
        options: CipherOptions<'static>,
    ) -> BoxFuture<Completion<Outcome>> {
        self.decrypt_owned(key, ciphertext, output, options, Patience::Wait)
    }

    fn hmac(&self, key: &Key, digest: Digest, input: &[u8]) -> Result<(Vec<u8>, Outcome)> {
        self.hmac_with(key, digest, input, Patience::Wait)
    }

    fn hmac_async(&self, key: Key, digest: Digest, input: Vec<u8>) -> BoxFuture<Result<(Vec<u8>, Outcome)>> {
        unwrapped(self.hmac_owned(key, digest, input, Patience::Wait))
    }
}
