//! Digests.

use accel_core::{Digest, Outcome, Result};

use super::request::{self, Request};
use super::seal::path;
use super::trial;
use crate::instance::Call;

/// A digest of `input`.
pub(crate) async fn digest(call: Call<'_>, digest: Digest, input: &[u8]) -> Result<(Vec<u8>, Outcome)> {
    trial::admit_digest(call, digest).await?;
    let (output, instance) = hash(call, digest, input).await?;
    let outcome = Outcome { bytes_in: input.len(), bytes_out: output.len(), path: path(Some(instance)) };
    Ok((output, outcome))
}

pub(super) async fn hash(call: Call<'_>, digest: Digest, input: &[u8]) -> Result<(Vec<u8>, u16)> {
    let request = Request { head: [input, &[]], has_digest: true, ..Request::default() };
    let session =
        |instance: &crate::instance::Instance| instance.digests.get(&instance.ring, digest).cloned();
    let mut answer = request::run(call, &request, session).await?;
    Ok((answer.digest()[..digest.len()].to_vec(), answer.instance))
}
