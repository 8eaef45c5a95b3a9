//! Digests and HMACs.

use std::sync::Arc;

use accel_core::{Digest, Key, Outcome, Output, Result};

use super::request::{self, SymmetricRequest};
use super::seal::path;
use super::session::{Sessions, Use, of_digest};
use super::trial;
use crate::device::inflight::{Session, SessionError};
use crate::device::instances::{CallContext, Instance};

/// A digest of `input`.
pub(crate) async fn digest(
    call: CallContext<'_>,
    digest: Digest,
    input: &[u8],
    output: &mut Output<'_>,
) -> Result<Outcome> {
    trial::admit_hash(call, digest, false).await?;
    hash(call, digest, None, input, output).await
}

/// HMAC of `input`.
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

/// HMAC where there is a key, else a digest.
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
