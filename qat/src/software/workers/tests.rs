//! Jobs, their bound and their end, on threads of the test's own.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc;
use std::task::Wake;

use accel_core::{DecompressOptions, Digest, Format};

use super::*;

fn workers(threads: usize) -> &'static Workers {
    Box::leak(Box::new(Workers::new("qat-test", threads)))
}

fn queue(limit: usize) -> Queue {
    Queue::new(NonZeroUsize::new(limit).unwrap())
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

/// A job that is short, or is not, whatever its input.
fn job(is_short: bool) -> OwnedJob {
    match is_short {
        true => OwnedJob::Digest(Digest::Sha256),
        false => OwnedJob::Decompress(DecompressOptions::new(Format::Gzip)),
    }
}

/// A job that has begun, on the only thread, and ends when this is told so.
struct Gate {
    open: mpsc::Sender<()>,
    job: Pending<bool>,
}

impl Gate {
    /// The job makes whether its future was gone at its end.
    fn close(workers: &'static Workers, queue: Queue) -> Self {
        let ((open, opened), (begin, begun)) = (mpsc::channel(), mpsc::channel());
        let job = queue.spawn(workers, move |caller: &Caller<'_>| {
            begin.send(()).unwrap();
            opened.recv().unwrap();
            caller.is_gone()
        });
        begun.recv().unwrap();
        Self { open, job }
    }

    fn open(self) -> Pending<bool> {
        self.open.send(()).unwrap();
        self.job
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

impl Flag {
    fn is_set(&self) -> bool {
        self.0.load(SeqCst)
    }

    fn poll<T>(self: &Arc<Self>, future: &mut Pending<T>) -> bool {
        let waker = Waker::from(self.clone());
        Pin::new(future).poll(&mut Context::from_waker(&waker)).is_ready()
    }
}

#[test]
fn jobs_beyond_the_limit_wait_in_their_futures_and_run_in_order() {
    let (workers, queue) = (workers(1), queue(2));
    let gate = Gate::close(workers, queue);
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut jobs: Vec<_> = (0..5)
        .map(|number| {
            let log = log.clone();
            queue.spawn(workers, move |_| log.lock().unwrap().push(number))
        })
        .collect();
    let queued = || workers.state().jobs.len();
    assert_eq!(queued(), 2, "one runs, two wait for the thread, three in their futures");
    let flags = [(); 5].map(|()| Arc::new(Flag::default()));
    for (job, flag) in jobs.iter_mut().zip(&flags).rev() {
        assert!(!flag.poll(job));
    }
    assert_eq!(queued(), 2, "polling does not go beyond the limit");
    wait(gate.open()).unwrap();
    // The last ones to be made are waited for first, and the order is that of the calls.
    let mut done = [false; 5];
    while done.contains(&false) {
        for ((job, flag), done) in jobs.iter_mut().zip(&flags).zip(&mut done).rev() {
            // A future that has given its result is not polled again.
            *done = *done || flag.poll(job);
        }
        thread::yield_now();
    }
    drop(jobs);
    let order = log.lock().unwrap().clone();
    assert_eq!(order.len(), 5);
    assert_eq!(order[..2], [0, 1]);
    let state = workers.state();
    assert!(state.jobs.is_empty() && state.queues.is_empty(), "something was left");
}

#[test]
fn queues_do_not_take_room_from_each_other() {
    let (workers, full, other) = (workers(1), queue(1), queue(1));
    let gate = Gate::close(workers, full);
    let mut jobs = [full, full, other].map(|queue| queue.spawn(workers, |_| ()));
    assert_eq!(workers.state().jobs.len(), 2);
    assert!(!Arc::new(Flag::default()).poll(&mut jobs[1]));
    wait(gate.open()).unwrap();
    jobs.into_iter().rev().for_each(|job| wait(job).unwrap());
}

#[test]
fn room_is_not_lost_with_those_who_were_woken_for_it() {
    let (workers, queue) = (workers(1), queue(1));
    let gate = Gate::close(workers, queue);
    let queued = queue.spawn(workers, |_| ());
    let (mut never_polled_again, mut dropped, mut last) =
        (queue.spawn(workers, |_| ()), queue.spawn(workers, |_| ()), queue.spawn(workers, |_| 7));
    let flags = [(); 3].map(|()| Arc::new(Flag::default()));
    assert!(!flags[0].poll(&mut never_polled_again));
    assert!(!flags[1].poll(&mut dropped));
    assert!(!flags[2].poll(&mut last));
    drop(queued);
    assert!(flags.iter().all(|flag| flag.is_set()), "the room of what was dropped is offered");
    drop(dropped);
    wait(gate.open()).unwrap();
    assert_eq!(wait(last).unwrap(), 7);
    drop(never_polled_again);
    assert!(workers.state().queues.is_empty());
}

#[test]
fn what_is_dropped_before_its_start_frees_its_memory_and_never_runs() {
    let (workers, queue) = (workers(1), queue(1));
    let gate = Gate::close(workers, queue);
    let (memory, ran) = (Arc::new(vec![0; 100]), Arc::new(Flag::default()));
    let job = || {
        let (memory, ran) = (memory.clone(), ran.clone());
        queue.spawn(workers, move |_| {
            ran.wake_by_ref();
            drop(memory);
        })
    };
    let (queued, beyond) = (job(), job());
    assert_eq!((workers.state().jobs.len(), Arc::strong_count(&memory)), (1, 3));
    drop((queued, beyond));
    assert_eq!((workers.state().jobs.len(), Arc::strong_count(&memory)), (0, 1));
    wait(gate.open()).unwrap();
    wait(queue.spawn(workers, |_| ())).unwrap();
    assert!(!ran.is_set());
}

#[test]
fn what_is_dropped_while_it_runs_is_finished_and_told() {
    let (workers, queue) = (workers(1), queue(9));
    let (tell, told) = mpsc::channel();
    let Gate { open, job } = Gate::close(workers, queue);
    let also = {
        let ((open, opened), (begin, begun)) = (mpsc::channel::<()>(), mpsc::channel());
        let also = queue.spawn(workers, move |caller: &Caller<'_>| {
            begin.send(()).unwrap();
            opened.recv().unwrap();
            tell.send(caller.is_gone()).unwrap();
        });
        (also, open, begun)
    };
    open.send(()).unwrap();
    assert!(!wait(job).unwrap(), "the gate was waited for");
    let (also, open, begun) = also;
    begun.recv().unwrap();
    drop(also);
    open.send(()).unwrap();
    assert!(told.recv().unwrap());
}

#[test]
fn panics_are_errors_and_buffers_come_back() {
    let queue = queue(9);
    for is_short in [false, true] {
        let output = OwnedOutput::Buffer(vec![2; 8]);
        let failed = queue.submit(job(is_short), vec![1; 9], output, |_, _, _, _| panic!("on purpose"));
        let done = wait(failed);
        assert!(matches!(done.result, Err(Error::Internal { .. })), "{:?}", done.result);
        assert_eq!((done.input, done.output), (vec![1; 9], vec![2; 8]));
    }
    // Those of wakers end at the thread too.
    struct Bad;
    impl Wake for Bad {
        fn wake(self: Arc<Self>) {
            panic!("on purpose");
        }
    }
    let workers = workers(1);
    let gate = Gate::close(workers, queue);
    let mut behind = queue.spawn(workers, |_| 1);
    let waker = Waker::from(Arc::new(Bad));
    assert!(Pin::new(&mut behind).poll(&mut Context::from_waker(&waker)).is_pending());
    wait(gate.open()).unwrap();
    assert_eq!(wait(queue.spawn(workers, |_| 2)).unwrap(), 2);
    assert_eq!(wait(behind).unwrap(), 1);
    assert_eq!(workers.state().threads, 1);
}

#[test]
fn short_work_is_done_where_the_call_is_made() {
    let here = thread::current().id();
    for (is_short, is_here) in [(true, true), (false, false)] {
        let (send, receive) = mpsc::channel();
        let done = queue(1).submit(job(is_short), vec![3], OwnedOutput::New, move |_, input, output, _| {
            send.send(thread::current().id() == here).unwrap();
            output.write(input)?;
            Ok(Outcome { bytes_in: 1, bytes_out: 1, path: super::super::HERE })
        });
        assert_eq!((wait(done).output, receive.recv().unwrap()), (vec![3], is_here));
    }
}

/// A thread that waits for a job which nobody else is there to run.
#[test]
fn the_threads_may_wait_for_jobs_themselves() {
    let (workers, queue) = (workers(1), queue(1));
    // One that is made there.
    let nested = queue.spawn(workers, move |_| wait(queue.spawn(workers, |_| 5)).unwrap());
    assert_eq!(wait(nested).unwrap(), 5);
    // Those that were made elsewhere: queued behind, and beyond the limit.
    let (send, receive) = mpsc::channel::<Pending<i32>>();
    let waiting = queue.spawn(workers, move |_| receive.iter().map(|job| wait(job).unwrap()).sum::<i32>());
    while !workers.state().jobs.is_empty() {
        thread::yield_now();
    }
    let jobs = [1, 2, 3].map(|number| queue.spawn(workers, move |_| number));
    assert_eq!(workers.state().jobs.len(), 1);
    jobs.into_iter().rev().for_each(|job| send.send(job).unwrap());
    drop(send);
    assert_eq!(wait(waiting).unwrap(), 6);
}

#[test]
fn threads_are_made_when_they_are_needed() {
    let (workers, queue) = (workers(3), queue(9));
    assert_eq!(workers.state().threads, 0);
    let first = Gate::close(workers, queue);
    assert_eq!(workers.state().threads, 1);
    let others = [(); 2].map(|()| Gate::close(workers, queue));
    let behind = [(); 5].map(|()| queue.spawn(workers, |_| ()));
    assert_eq!(workers.state().threads, 3);
    wait(first.open()).unwrap();
    behind.into_iter().for_each(|job| wait(job).unwrap());
    others.into_iter().for_each(|gate| drop(wait(gate.open())));
    while workers.state().idle < 3 {
        thread::yield_now();
    }
    wait(queue.spawn(workers, |_| ())).unwrap();
    assert_eq!(workers.state().threads, 3);
}
