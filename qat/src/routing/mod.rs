//! The choice between hardware and CPU, request by request.

mod core_slots;
mod hardware;
mod model;
mod route;
mod snapshot;
mod timings;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use accel_core::{
    AcceleratorTypes, BoxFuture, Completion, HardwareAccelerator, Job, Outcome, Output, OwnedJob,
    OwnedOutput, Result, Statistics,
};

use crate::accelerator::QatAccelerator;
use crate::software::SoftwareAccelerator;
use crate::software::workers::Queue;
use route::Shared;
pub use snapshot::{DeviceTime, ModelCell, ModelSnapshot, Preferred};

const NAME: &str = "auto";

/// Which requests go to the hardware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Policy {
    /// Those that are expected to be done sooner there, by what was measured of both engines at such work. When one engine
    /// is busy to capacity or full, the other works beside it.
    #[default]
    Auto,
    /// All of them; a full device is waited for. What the hardware cannot do is an error.
    Always,
    /// None. The hardware is not even looked for.
    Never,
    /// Inputs of this many bytes or more, when the hardware is there, can do them and has room; the CPU does the rest.
    Threshold(usize),
}

/// Compression and encryption on hardware where that is possible and worth it, else on the CPU; each [`Outcome`] says
/// which, and why. Cheap to clone; clones count and learn together.
///
/// # How [`Policy::Auto`] chooses
/// For each kind of work (operation, format or cipher, level) and each power of two of the input's length there are
/// moving averages of the CPU's time and of the device's time by the number of requests on it; [`model`](Self::model)
/// shows them. A request goes where it is expected to be done first, reckoning with the requests that are on both
/// already. It is [`SoftwareReason::Sooner`] where that is the CPU. In addition:
///
/// * When the device has no room, or as much as it can do at once while a core is idle, the CPU takes the request
///   ([`SoftwareReason::Busy`]), though that may be later for this one: more is done in all. The same holds the other
///   way round.
/// * Now and then the other engine gets a request, to know how fast it is today ([`SoftwareReason::Measured`] on the
///   CPU).
/// * Before anything was measured, a core is taken to need 0.1 to 100 ns for a byte, by the kind of work, and a device
///   40 µs and 0.2 ns for a byte.
///
/// # When the device fails
/// With a policy other than [`Policy::Always`], the CPU does what the device answered with
/// [`Device`](accel_core::Error::Device) or [`Internal`](accel_core::Error::Internal)
/// ([`SoftwareReason::DeviceError`]), [`Unsupported`](accel_core::Error::Unsupported),
/// [`Unavailable`](accel_core::Error::Unavailable) or [`Busy`](accel_core::Error::Busy). A device that failed is left
/// alone for 10 ms, twice as long after each failure in a row, up to 10 s.
///
/// When the device says that data are corrupt, truncated, followed by something else or not authentic, the CPU has the
/// last word: a broken device is no reason to throw good data away. Bad data take both engines' time therefore. Other
/// errors of the input or the arguments are final.
///
/// # Futures
/// An asynchronous call starts when it is made: it is submitted to the device at once, or goes to the threads that
/// [`SoftwareAccelerator`] describes, with the same bound. Only the very first one waits for the device to start, on a
/// thread of its own, before it is sent anywhere. A request on the device whose future is dropped is finished there, and its
/// buffers are freed then.
///
/// [`SoftwareReason::Busy`]: accel_core::SoftwareReason::Busy
/// [`SoftwareReason::DeviceError`]: accel_core::SoftwareReason::DeviceError
/// [`SoftwareReason::Measured`]: accel_core::SoftwareReason::Measured
/// [`SoftwareReason::Sooner`]: accel_core::SoftwareReason::Sooner
///
/// # Examples
/// ```
/// use accel_core::{CompressOptions, CompressionAccelerator, Format};
/// use qat::{AutoAccelerator, Policy, QatAccelerator};
///
/// let auto = AutoAccelerator::new(QatAccelerator::default(), Policy::Auto);
/// let (packed, outcome) = auto.compress(&[7; 100_000], &CompressOptions::new(Format::Gzip))?;
/// println!("{} bytes, on {}", packed.len(), outcome.path);
/// for cell in auto.model().cells {
///     println!("{} from {} bytes: {:?} on the CPU", cell.operation, cell.bytes, cell.cpu);
/// }
/// # Ok::<(), accel_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct AutoAccelerator {
    qat: QatAccelerator,
    shared: Arc<Shared>,
}

impl Default for AutoAccelerator {
    fn default() -> Self {
        Self::new(QatAccelerator::default(), Policy::default())
    }
}

impl AutoAccelerator {
    /// Chooses between `qat` and the CPU by `policy`. Touches nothing.
    #[must_use]
    pub fn new(qat: QatAccelerator, policy: Policy) -> Self {
        Self::with_queue_limit(qat, policy, SoftwareAccelerator::DEFAULT_QUEUE_LIMIT)
    }

    /// The same with at most `limit` asynchronous calls that wait for a thread of the CPU at a time, as
    /// [`SoftwareAccelerator::with_queue_limit`] has it.
    #[must_use]
    pub fn with_queue_limit(qat: QatAccelerator, policy: Policy, limit: NonZeroUsize) -> Self {
        let hardware = Box::new(qat.clone());
        Self { shared: Arc::new(Shared::new(hardware, policy, Queue::new(limit))), qat }
    }

    /// Chooses between any hardware and the CPU.
    #[cfg(test)]
    fn with_hardware(hardware: impl hardware::Hardware + 'static, policy: Policy) -> Self {
        let queue = Queue::new(SoftwareAccelerator::DEFAULT_QUEUE_LIMIT);
        let shared = Arc::new(Shared::new(Box::new(hardware), policy, queue));
        Self { shared, qat: QatAccelerator::default() }
    }

    /// The hardware side.
    #[must_use]
    pub const fn qat(&self) -> &QatAccelerator {
        &self.qat
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.shared.policy
    }

    /// What was measured of both engines so far, and which of them it speaks for.
    #[must_use]
    pub fn model(&self) -> ModelSnapshot {
        let Shared { hardware, model, .. } = &*self.shared;
        model.snapshot(hardware.in_flight(), model.at(Instant::now()))
    }
}

impl HardwareAccelerator for AutoAccelerator {
    fn name(&self) -> &'static str {
        NAME
    }

    fn types(&self) -> AcceleratorTypes {
        AcceleratorTypes::COMPRESSION | AcceleratorTypes::ENCRYPTION | AcceleratorTypes::HASHING
    }

    fn is_available(&self) -> bool {
        self.has_cpu_fallback() || self.qat.is_available()
    }

    fn has_cpu_fallback(&self) -> bool {
        self.policy() != Policy::Always
    }

    /// Looks for the hardware, unless the policy never uses it.
    fn initialize(&self) -> Result<()> {
        match self.policy() {
            Policy::Never => Ok(()),
            Policy::Always => self.qat.initialize(),
            Policy::Auto | Policy::Threshold(_) => {
                let _ = self.qat.initialize();
                Ok(())
            }
        }
    }

    /// The utilisation is that of the hardware, as [`QatAccelerator`] has it.
    fn statistics(&self) -> Statistics {
        let mut statistics = self.shared.recorder.statistics();
        statistics.utilisation = self.qat.utilisation();
        statistics
    }

    fn execute(&self, job: Job<'_>, input: &[u8], output: &mut Output<'_>) -> Result<Outcome> {
        self.shared.execute(job, input, output)
    }

    fn submit(&self, job: OwnedJob, input: Vec<u8>, output: OwnedOutput) -> BoxFuture<Completion<Outcome>> {
        self.shared.submit(job, input, output)
    }
}

#[cfg(test)]
mod tests;
