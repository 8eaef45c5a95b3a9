//! Many requests from one thread.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use accel_core::{
    AcceleratorTypes, CompressOptions, CompressionAccelerator, DecompressOptions, Outcome, Result,
};

use super::QatAccelerator;
use crate::device::instances::{Started, WhenFull};
use crate::device::{compression, polling};
use crate::job::output::Output;
use crate::software::{recorded, size_hint};

/// Calls of one batch that are under way at a time: enough for every engine of several devices.
const WIDTH: usize = 64;

impl QatAccelerator {
    /// Runs `future` on this thread, which polls the hardware for it meanwhile: the quickest way for futures of this
    /// accelerator on a thread without an executor, with no other thread involved.
    ///
    /// # Examples
    /// ```
    /// # let qat = qat::QatAccelerator::default();
    /// assert_eq!(qat.block_on(async { 42 }), 42);
    /// ```
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        match self.pool(AcceleratorTypes::empty()) {
            Ok(pool) => pool.block_on(future),
            Err(_) => polling::block_on(&[], future),
        }
    }

    /// Compresses each of `inputs` by itself, with many of them on the hardware at a time; results are in their order.
    ///
    /// Each result is what [`compress`](CompressionAccelerator::compress) would have returned.
    pub fn compress_batch(
        &self,
        inputs: &[&[u8]],
        options: &CompressOptions,
    ) -> Vec<Result<(Vec<u8>, Outcome)>> {
        self.batch(inputs, async |pool: &Started, input: &[u8]| {
            let mut output = vec![0; self.compress_bound(input.len(), options)];
            let outcome =
                compression::compress(self.call(pool, WhenFull::Wait), input, &mut output, options).await?;
            output.truncate(outcome.bytes_out);
            Ok((output, outcome))
        })
    }

    /// Decompresses each of `inputs` by itself, with many of them on the hardware at a time; results are in their
    /// order.
    ///
    /// Each result is what [`decompress`](CompressionAccelerator::decompress) would have returned.
    pub fn decompress_batch(
        &self,
        inputs: &[&[u8]],
        options: &DecompressOptions,
    ) -> Vec<Result<(Vec<u8>, Outcome)>> {
        self.batch(inputs, async |pool: &Started, input: &[u8]| {
            let mut output = Output::growing(size_hint(input, options.format), options.limit);
            let call = self.call(pool, WhenFull::Wait);
            let outcome = compression::decompress(call, input, &mut output, options.format).await?;
            Ok((output.into_vec(), outcome))
        })
    }

    fn batch(
        &self,
        inputs: &[&[u8]],
        work: impl AsyncFn(&Started, &[u8]) -> Result<(Vec<u8>, Outcome)>,
    ) -> Vec<Result<(Vec<u8>, Outcome)>> {
        let pool = match self.pool(AcceleratorTypes::COMPRESSION) {
            Ok(pool) => pool,
            Err(error) => {
                let refuse = |_: &&[u8]| recorded(&self.0.recorder, || Err(error.clone()), outcome);
                return inputs.iter().map(refuse).collect();
            }
        };
        let one = |input| self.counted(work(&pool, input), outcome);
        pool.block_on(in_order(inputs.iter().map(|input| one(input))))
    }
}

fn outcome(made: &(Vec<u8>, Outcome)) -> &Outcome {
    &made.1
}

/// The outputs of `futures` in their order, with up to [`WIDTH`] of them under way.
async fn in_order<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    enum Entry<F: Future> {
        Pending(Pin<Box<F>>),
        Done(F::Output),
    }
    // An entry is never moved out of its box, so that the outputs in them need not be pinned.
    impl<F: Future> Unpin for Entry<F> {}

    let (mut futures, mut under_way, mut outputs) = (futures, VecDeque::new(), Vec::new());
    poll_fn(move |context| {
        loop {
            while under_way.len() < WIDTH
                && let Some(future) = futures.next()
            {
                under_way.push_back(Entry::Pending(Box::pin(future)));
            }
            if under_way.is_empty() {
                return Poll::Ready(std::mem::take(&mut outputs));
            }
            for entry in &mut under_way {
                if let Entry::Pending(future) = entry
                    && let Poll::Ready(output) = future.as_mut().poll(context)
                {
                    *entry = Entry::Done(output);
                }
            }
            let before = under_way.len();
            while let Some(Entry::Done(_)) = under_way.front() {
                if let Some(Entry::Done(output)) = under_way.pop_front() {
                    outputs.push(output);
                }
            }
            if under_way.len() == before {
                return Poll::Pending;
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_come_in_the_order_of_their_futures() {
        // Each needs another number of polls.
        let futures = (0..200_usize).map(|i| {
            let mut left = i * 7 % 5;
            poll_fn(move |_| {
                if left == 0 {
                    return Poll::Ready(i);
                }
                left -= 1;
                Poll::Pending
            })
        });
        let outputs = polling::block_on(&[], in_order(futures));
        assert_eq!(outputs, (0..200).collect::<Vec<_>>());
        assert!(polling::block_on(&[], in_order(std::iter::empty::<std::future::Ready<()>>())).is_empty());
    }
}
