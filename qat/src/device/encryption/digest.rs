//! Digests and HMACs on the device. The module `accelerator` calls it, and `trial` for its comparison with the CPU.

use std::sync::Arc;

use accel_core::{Digest, Key, Outcome, Output, Result};

use super::request::{self, SymmetricRequest};
use super::seal::path;
use super::session::{Sessions, Use, of_digest};
use super::trial;
use crate::device::inflight::{Session, SessionError};
use crate::device::instances::{CallContext, Instance};

/// Computes a digest of `input`.
///
/// # Errors
/// `Unsupported` when the device does not offer the digest, and `Device` when the request fails.
pub(crate) async fn digest(
    call: CallContext<'_>,
    digest: Digest,
    input: &[u8],
    output: &mut Output<'_>,
) -> Result<Outcome> {
    trial::admit_hash(call, digest, false).await?;
    hash(call, digest, None, input, output).await
}

/// Computes an HMAC of `input`.
///
/// # Errors
/// `InvalidArgument` for a key that HMAC does not take, `Unsupported` when the device does not offer HMAC with the
/// digest, and `Device` when the request fails.
pub(crate) async fn hmac(
    call: CallContext<'_>,
    key: &Key,
    digest: Digest,
    input: &[u8],
    output: &mut Output<'_>,
) -> Result<Outcome> {
    key.check_hmac()?;
    trial::admit_hash(call, digest, true).await?;
    hash(call, digest, Some(key), input, output).await
}

/// Computes an HMAC if `key` is given, and otherwise a digest, without the trial.
pub(super) async fn hash(
    call: CallContext<'_>,
    digest: Digest,
    key: Option<&Key>,
    input: &[u8],
    output: &mut Output<'_>,
) -> Result<Outcome> {
    let sessions = key.map(|key| Sessions::of_hmac(key, digest)).transpose()?;
    let keyed = key.zip(sessions);
    let session = |instance: &Instance| -> Result<Arc<Session>, SessionError> {
        match keyed {
            Some((key, sessions)) => sessions.get(&instance.ring, key, Use::default()),
            None => of_digest(instance, digest).cloned(),
        }
    };
    let request = SymmetricRequest { head: [input, &[]], has_digest: true, ..SymmetricRequest::default() };
    let mut response = request::run(call, &request, session).await?;
    output.write(&response.digest()[..digest.len()])?;
    Ok(Outcome { bytes_in: input.len(), bytes_out: digest.len(), path: path(Some(response.instance)) })
}
