//! A pipeline of threads: a producer fills blocks in order, workers process them, and a consumer receives them in
//! order.
//!
//! Compression, decompression and encryption of streams run on it. A fixed number of blocks circulates, so that memory
//! is bounded and buffers are reused. The consumer runs on the calling thread. With one thread, or when the first block
//! is also the last, everything runs on the calling thread and no thread is started.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use accel_core::Error;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::StreamError;

type Result<T, E = StreamError> = std::result::Result<T, E>;

/// The result of one call of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Produced {
    /// The block is filled, and more follows.
    Block,
    /// The block is filled, and nothing follows.
    Last,
    /// Nothing is left, and the block is unchanged.
    End,
}

/// Ensures that `buffer` has at least `len` bytes, and returns the first `len` of them. A buffer that must grow is
/// replaced by a new one, because the system provides zeroed pages on demand, whereas resizing would write all of them.
///
/// # Errors
/// [`StreamError::Memory`] where the system refuses the memory.
pub(super) fn room(buffer: &mut Vec<u8>, len: usize) -> Result<&mut [u8]> {
    if buffer.capacity() < len {
        *buffer = Vec::new();
        *buffer =
            bytemuck::allocation::try_zeroed_vec(len).map_err(|()| StreamError::Memory { bytes: len })?;
    } else if buffer.len() < len {
        buffer.resize(len, 0);
    }
    Ok(&mut buffer[..len])
}

/// Ensures that `more` bytes can be appended to `buffer`.
///
/// # Errors
/// [`StreamError::Memory`] where the system refuses the memory.
pub(super) fn reserve(buffer: &mut Vec<u8>, more: usize) -> Result<()> {
    buffer.try_reserve(more).map_err(|_| StreamError::Memory { bytes: buffer.len().saturating_add(more) })
}

/// The largest number of threads of one stream. More threads would need more memory, since each has blocks of its own.
const MAX_THREADS: usize = 1024;

/// The number of blocks in circulation per worker: one that is processed, one that waits for the worker, and one that
/// waits for the consumer.
const BLOCKS_PER_THREAD: usize = 3;

/// Runs the pipeline until its end, or until the first error in the order of the blocks.
///
/// # Errors
/// The first error of the producer, a worker or the consumer, in the order of the blocks; [`StreamError::Thread`] where
/// the system refuses a thread.
pub(super) fn run<B: Default + Send>(
    threads: NonZeroUsize,
    mut produce: impl FnMut(&mut B) -> Result<Produced> + Send,
    work: impl Fn(&mut B) -> Result<()> + Sync,
    mut consume: impl FnMut(&mut B) -> Result<()>,
) -> Result<()> {
    let threads = threads.get().min(MAX_THREADS);
    let mut first = B::default();
    let mut produced = produce(&mut first)?;
    if threads == 1 || produced != Produced::Block {
        while produced != Produced::End {
            work(&mut first)?;
            consume(&mut first)?;
            if produced == Produced::Last {
                break;
            }
            produced = produce(&mut first)?;
        }
        return Ok(());
    }

    let blocks = threads * BLOCKS_PER_THREAD;
    // Every channel has capacity for all blocks, so that no send waits. Otherwise two threads could wait for each
    // other.
    let (free_in, free) = bounded::<B>(blocks);
    let (todo_in, todo) = bounded::<(usize, B)>(blocks);
    let (done_in, done) = bounded::<(usize, Result<B>)>(blocks + 1);
    let (work, produce) = (&work, &mut produce);
    // The closure owns the ends of the channels, so that they are dropped before the scope joins the threads. Otherwise
    // the threads would wait for blocks and never end.
    thread::scope(move |scope| {
        for _ in 0..threads {
            let (todo, done_in) = (todo.clone(), done_in.clone());
            let worker = move || work_off(&todo, &done_in, work);
            thread::Builder::new().spawn_scoped(scope, worker).map_err(StreamError::Thread)?;
        }
        drop(todo);
        for _ in 1..blocks {
            let _ = free_in.send(B::default());
        }
        let _ = todo_in.send((0, first));
        let feeder = move || feed(&free, &todo_in, &done_in, produce);
        thread::Builder::new().spawn_scoped(scope, feeder).map_err(StreamError::Thread)?;
        in_order(&done, blocks, |mut block| {
            consume(&mut block)?;
            let _ = free_in.send(block);
            Ok(())
        })
    })
}

fn work_off<B>(
    todo: &Receiver<(usize, B)>,
    done: &Sender<(usize, Result<B>)>,
    work: &impl Fn(&mut B) -> Result<()>,
) {
    for (number, mut block) in todo {
        // A panic becomes an error of this block. Otherwise the consumer would wait forever for the block of the thread
        // that panicked.
        let worked = catch_unwind(AssertUnwindSafe(|| work(&mut block))).unwrap_or_else(|_| {
            Err(Error::Internal { engine: "stream", detail: "a worker thread panicked".into() }.into())
        });
        let result = worked.map(|()| block);
        let failed = result.is_err();
        if done.send((number, result)).is_err() || failed {
            break;
        }
    }
}

fn feed<B>(
    free: &Receiver<B>,
    todo: &Sender<(usize, B)>,
    done: &Sender<(usize, Result<B>)>,
    produce: &mut impl FnMut(&mut B) -> Result<Produced>,
) {
    for (number, mut block) in (1..).zip(free) {
        match produce(&mut block) {
            Ok(Produced::End) => return,
            Ok(produced) => {
                if todo.send((number, block)).is_err() || produced == Produced::Last {
                    return;
                }
            }
            Err(error) => {
                let _ = done.send((number, Err(error)));
                return;
            }
        }
    }
}

/// Passes finished blocks to the consumer in the order of their numbers.
fn in_order<B>(
    done: &Receiver<(usize, Result<B>)>,
    blocks: usize,
    mut next: impl FnMut(B) -> Result<()>,
) -> Result<()> {
    // A ring buffer: at most `blocks` blocks and one error are outstanding at any time.
    let mut waiting: Vec<Option<Result<B>>> = (0..=blocks).map(|_| None).collect();
    let mut expected = 0;
    for (number, result) in done {
        let slots = waiting.len();
        waiting[number % slots] = Some(result);
        while let Some(result) = waiting[expected % slots].take() {
            next(result?)?;
            expected += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn error(limit: u64) -> StreamError {
        StreamError::Work(Error::LimitExceeded { limit })
    }

    /// Runs `count` numbered blocks, fails at the given positions, and returns what was consumed.
    fn numbered(
        threads: usize,
        count: usize,
        fail_produce: Option<usize>,
        fail_work: Option<usize>,
        fail_consume: Option<usize>,
    ) -> (Vec<usize>, Option<u64>) {
        let mut produced = 0;
        let mut consumed = Vec::new();
        let result = run(
            NonZeroUsize::new(threads).unwrap(),
            |block: &mut usize| {
                if fail_produce == Some(produced) {
                    return Err(error(1));
                }
                *block = produced;
                produced += 1;
                Ok(if produced > count { Produced::End } else { Produced::Block })
            },
            |block| {
                // Some blocks take longer, so that results are finished out of order.
                if *block % 3 == 0 {
                    thread::yield_now();
                }
                if fail_work == Some(*block) { Err(error(2)) } else { Ok(()) }
            },
            |block| {
                if fail_consume == Some(*block) {
                    return Err(error(3));
                }
                consumed.push(*block);
                Ok(())
            },
        );
        let limit = result.err().map(|e| match e {
            StreamError::Work(Error::LimitExceeded { limit }) => limit,
            other => panic!("{other}"),
        });
        (consumed, limit)
    }

    #[test]
    fn order_is_kept_and_the_first_error_in_order_wins() {
        for threads in [1, 2, 5] {
            for count in [0, 1, 2, 100] {
                assert_eq!(numbered(threads, count, None, None, None), ((0..count).collect(), None));
            }
            let prefix = |n: usize| (0..n).collect::<Vec<_>>();
            assert_eq!(numbered(threads, 100, Some(40), None, None), (prefix(40), Some(1)));
            assert_eq!(numbered(threads, 100, None, Some(41), None), (prefix(41), Some(2)));
            assert_eq!(numbered(threads, 100, None, None, Some(42)), (prefix(42), Some(3)));
            assert_eq!(numbered(threads, 100, Some(50), Some(41), None), (prefix(41), Some(2)));
            assert_eq!(numbered(threads, 100, Some(30), Some(41), None), (prefix(30), Some(1)));
        }
    }

    #[test]
    fn any_number_of_threads_is_taken() {
        let mut left = 3;
        let mut consumed = 0;
        run(
            NonZeroUsize::MAX,
            |_: &mut u8| {
                left -= 1;
                Ok(if left == 0 { Produced::Last } else { Produced::Block })
            },
            |_| Ok(()),
            |_| {
                consumed += 1;
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(consumed, 3);
    }

    #[test]
    fn too_much_memory_is_an_error() {
        let mut buffer = vec![1; 10];
        for wanted in [usize::MAX, 1 << 48] {
            let error = room(&mut buffer, wanted).unwrap_err();
            assert!(matches!(error, StreamError::Memory { bytes } if bytes == wanted), "{error}");
            assert!(error.to_string().contains("fewer threads"), "{error}");
            assert!(matches!(reserve(&mut buffer, wanted), Err(StreamError::Memory { .. })));
        }
        assert_eq!(room(&mut buffer, 20).unwrap(), [0; 20]);
    }

    #[test]
    fn a_panicking_worker_ends_the_stream() {
        let result = run(
            NonZeroUsize::new(2).unwrap(),
            |_: &mut u8| Ok(Produced::Block),
            |_| panic!("on purpose"),
            |_| Ok(()),
        );
        assert!(matches!(result, Err(StreamError::Work(Error::Internal { .. }))), "{result:?}");
    }

    #[test]
    fn blocks_in_flight_are_bounded() {
        let (made, eaten) = (AtomicUsize::new(0), AtomicUsize::new(0));
        run(
            NonZeroUsize::new(2).unwrap(),
            |_: &mut u8| {
                let n = made.fetch_add(1, Ordering::SeqCst);
                assert!(n - eaten.load(Ordering::SeqCst) <= 2 * BLOCKS_PER_THREAD);
                Ok(if n == 1000 { Produced::Last } else { Produced::Block })
            },
            |_| Ok(()),
            |_| {
                eaten.fetch_add(1, Ordering::SeqCst);
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(eaten.load(Ordering::SeqCst), 1001);
    }
}
