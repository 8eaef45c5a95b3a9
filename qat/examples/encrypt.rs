//! Encrypts and decrypts a message with AES-GCM and associated data, on QAT where there is a device and on the CPU
//! otherwise. Shows that altered associated data are refused.

use qat::accel_core::{Cipher, CipherOptions, EncryptionAccelerator, Error, Key, Result};
use qat::{AutoAccelerator, Policy, QatAccelerator};

fn main() -> Result<()> {
    let accelerator = AutoAccelerator::new(QatAccelerator::default(), Policy::Auto);
    if let Some(reason) = accelerator.qat().unavailability() {
        println!("no QAT device: {reason}");
    }

    let key = Key::generate(Cipher::AesGcm)?;
    let message = b"attack at dawn";
    // The associated data are authenticated, but neither encrypted nor part of the ciphertext.
    let options = CipherOptions::new(Cipher::AesGcm).aad(b"message 1".as_slice());
    let (ciphertext, encrypted) = accelerator.encrypt(&key, message, &options)?;
    println!("encrypted {} bytes to {} on {}", message.len(), ciphertext.len(), encrypted.outcome.path);

    // The receiver needs the key, the associated data and the random IV, which is sent beside the ciphertext.
    let (plaintext, outcome) = accelerator.decrypt(&key, &ciphertext, &options.iv(encrypted.iv))?;
    println!("decrypted {} bytes on {}", plaintext.len(), outcome.path);
    assert_eq!(plaintext, message);

    let altered = CipherOptions::new(Cipher::AesGcm).aad(b"message 2".as_slice()).iv(encrypted.iv);
    let error = accelerator.decrypt(&key, &ciphertext, &altered).expect_err("the associated data differ");
    assert!(matches!(error, Error::Authentication { .. }));
    println!("with other associated data: {error}");
    Ok(())
}
