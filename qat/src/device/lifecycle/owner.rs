//! The thread that owns libqat: it starts and stops libqat, supervises the instances, and restarts libqat when its
//! devices fail. `Driver::acquire` creates it; it never submits requests.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use qat_sys::Symbols;

use super::{DriverState, PROCESS_NAME, Process, services, start};
use crate::device::instances::{IDLE_TICK, RestartReason, Started, TICK, Watchdog};
use crate::error::Unavailability;
use crate::raw::sal;
use crate::report::Services;
use crate::service::Service;
use crate::settings::HardwareSettings;

/// The pause before the second attempt of a restart. Each further attempt doubles it.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// After a start that lasted this long, the pauses begin again at [`FIRST_WAIT`].
const STABLE: Duration = Duration::from_secs(60);

/// The state that the thread keeps from one start to the next.
pub(super) struct Owner {
    symbols: &'static Symbols,
    settings: HardwareSettings,
    process: &'static Process,
    /// The services that the first start provided; `None` before it.
    services: Option<Services>,
    /// Whether a heartbeat was seen before, so that a missing one is a failure.
    has_heartbeat: bool,
    wait: Duration,
    started_at: Instant,
}

impl Owner {
    pub(super) fn new(
        symbols: &'static Symbols,
        settings: HardwareSettings,
        process: &'static Process,
    ) -> Self {
        Self {
            symbols,
            settings,
            process,
            services: None,
            has_heartbeat: false,
            wait: Duration::ZERO,
            started_at: Instant::now(),
        }
    }

    /// Starts libqat, sends the result to `answer`, and runs until the sender of `stopped`, on which nothing is ever
    /// sent, is dropped.
    pub(super) fn run(
        mut self,
        answer: &Sender<Result<Arc<DriverState>, Unavailability>>,
        stopped: &Receiver<()>,
    ) {
        let mut started = match self.start() {
            Ok(started) => started,
            Err(reason) => {
                let _ = answer.send(Err(reason));
                return;
            }
        };
        let current = Arc::new(DriverState::new(started.clone()));
        if answer.send(Ok(current.clone())).is_err() {
            return self.stop(started);
        }
        let mut watchdog = Watchdog::new();
        loop {
            let tick = if started.is_busy() { TICK } else { IDLE_TICK };
            if stopped.recv_timeout(tick) != Err(RecvTimeoutError::Timeout) {
                current.set(Err(Arc::new(Unavailability::Stopped)));
                return self.stop(started);
            }
            let Some(reason) = self.check(&mut watchdog, &started) else { continue };
            tracing::error!(%reason, "libqat is being restarted");
            let unavailability = Unavailability::Recovering { failure: reason.to_string().into() };
            current.set(Err(Arc::new(unavailability)));
            self.stop(started);
            match self.start_again(reason, &current, stopped) {
                Some(anew) => started = anew,
                None => return,
            }
            watchdog = Watchdog::new();
        }
    }

    /// Polls for device events and the heartbeat, and abandons requests that they or the deadline end. Returns why
    /// libqat has to be restarted, if it has.
    fn check(&mut self, watchdog: &mut Watchdog, started: &Started) -> Option<RestartReason> {
        let ask = || {
            // SAFETY: `sal::poll_device_events`: libqat is started, and only this thread stops it.
            if let Err(status) = unsafe { sal::poll_device_events(self.symbols) } {
                tracing::debug!(%status, "libqat did not poll for device events");
            }
        };
        let reason = watchdog.check(started, ask);
        let is_dead = self.has_heartbeat && watchdog.is_heartbeat_due() && !self.is_alive();
        reason.max(is_dead.then_some(RestartReason::Heartbeat))
    }

    fn is_alive(&self) -> bool {
        // SAFETY: `sal::check_devices`: libqat is started, and only this thread stops it.
        unsafe { sal::check_devices(self.symbols) }.is_ok()
    }

    fn start(&mut self) -> Result<Arc<Started>, Unavailability> {
        // SAFETY: `sal::user_start`: the table has libqat's functions by the contract of `Library::load`, and this
        // thread also stops libqat.
        unsafe { sal::user_start(self.symbols, PROCESS_NAME) }
            .map_err(|status| Unavailability::StartFailed { status })?;
        // SAFETY: `services`: libqat is started, and only this thread stops it.
        let services = unsafe { services(self.symbols) };
        let is_alive = self.is_alive();
        let refused = if services.instances.total() == 0 {
            Some(Unavailability::NoInstances { service: None })
        } else if let Some(service) = self.services.and_then(|before| lost(&before, &services)) {
            // libqat 24.02 assumes default services for a device that does not respond any more.
            Some(Unavailability::NoInstances { service: Some(service) })
        } else if self.has_heartbeat && !is_alive {
            Some(Unavailability::NoHeartbeat)
        } else {
            None
        };
        if let Some(reason) = refused {
            self.user_stop();
            return Err(reason);
        }
        self.services.get_or_insert(services);
        self.has_heartbeat |= is_alive;
        self.started_at = Instant::now();
        // SAFETY: `start::start_instances`: libqat is started, and `stop` calls `halt` before it stops libqat.
        let started =
            unsafe { start::start_instances(self.symbols, services, self.settings, &self.process.memory) };
        tracing::debug!(?services, self.has_heartbeat, "libqat started");
        Ok(Arc::new(started))
    }

    fn stop(&self, started: Arc<Started>) {
        // SAFETY: `start::halt`: libqat is still running in the start that `started` belongs to.
        let started = unsafe { start::halt(started) };
        let is_stopped = self.user_stop();
        start::finish(&started, is_stopped);
    }

    fn user_stop(&self) -> bool {
        // SAFETY: `sal::user_stop`: this thread started libqat, and either `halt` has closed all rings, or no instance
        // was started.
        match unsafe { sal::user_stop(self.symbols) } {
            Ok(()) => tracing::debug!("libqat stopped"),
            Err(status) => {
                tracing::warn!(%status, "libqat failed to stop");
                return false;
            }
        }
        true
    }

    /// Repeats the start until it succeeds, or until the last user is gone, in which case it returns `None`.
    fn start_again(
        &mut self,
        reason: RestartReason,
        current: &DriverState,
        stopped: &Receiver<()>,
    ) -> Option<Arc<Started>> {
        if self.started_at.elapsed() > STABLE {
            self.wait = Duration::ZERO;
        }
        loop {
            if !self.wait.is_zero() && stopped.recv_timeout(self.wait) != Err(RecvTimeoutError::Timeout) {
                return None;
            }
            self.wait = (self.wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
            match self.start() {
                Ok(started) => {
                    tracing::info!("libqat was restarted and works again");
                    self.process.recoveries.fetch_add(1, Relaxed);
                    current.set(Ok(started.clone()));
                    return Some(started);
                }
                Err(cause) => {
                    tracing::error!(%cause, again_in = ?self.wait, "libqat failed to restart");
                    let failure = reason.to_string().into();
                    current.set(Err(Arc::new(Unavailability::NotRecovered { failure, cause: cause.into() })));
                }
            }
        }
    }
}

/// Returns the first service that has instances either before or now, but not both.
fn lost(before: &Services, now: &Services) -> Option<Service> {
    let pairs = before.instances.by_service().into_iter().zip(now.instances.by_service());
    pairs
        .filter(|((_, before), (_, now))| (*before == 0) != (*now == 0))
        .map(|((service, _), _)| service)
        .next()
}
