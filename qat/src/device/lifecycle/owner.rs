//! The thread that owns libqat: starts it, watches over it, starts it anew when its devices fail, and stops it.

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

/// Wait before the second try to start anew; each further one doubles it.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A start that lasted so long owes nothing to earlier failures.
const STABLE: Duration = Duration::from_secs(60);

/// What the owner knows from one start to the next.
pub(super) struct Owner {
    symbols: &'static Symbols,
    settings: HardwareSettings,
    process: &'static Process,
    /// What the first start gave.
    services: Option<Services>,
    /// It was there once, so that its absence says something.
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

    /// Sends what the first start came to, and stays until the end of `stopped`, on which nothing is ever sent.
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
            tracing::error!(%reason, "libqat is stopped and started anew");
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

    /// Asks for events and heartbeat, and gives up what they and the deadline end.
    fn check(&mut self, watchdog: &mut Watchdog, started: &Started) -> Option<RestartReason> {
        let ask = || {
            // SAFETY: libqat is started, and this thread is the one that stops it.
            if let Err(status) = unsafe { sal::poll_device_events(self.symbols) } {
                tracing::debug!(%status, "libqat does not look for device events");
            }
        };
        let reason = watchdog.check(started, ask);
        let is_dead = self.has_heartbeat && watchdog.is_heartbeat_due() && !self.is_alive();
        reason.max(is_dead.then_some(RestartReason::Heartbeat))
    }

    fn is_alive(&self) -> bool {
        // SAFETY: libqat is started, and this thread is the one that stops it.
        unsafe { sal::check_devices(self.symbols) }.is_ok()
    }

    fn start(&mut self) -> Result<Arc<Started>, Unavailability> {
        // SAFETY: by the contract of its loading, the table holds libqat's functions; this thread stops what it starts.
        unsafe { sal::user_start(self.symbols, PROCESS_NAME) }
            .map_err(|status| Unavailability::StartFailed { status })?;
        // SAFETY: libqat is started, and this thread is the one that stops it.
        let services = unsafe { services(self.symbols) };
        let is_alive = self.is_alive();
        let refused = if services.instances.total() == 0 {
            Some(Unavailability::NoInstances { service: None })
        } else if let Some(service) = self.services.and_then(|before| lost(&before, &services)) {
            // libqat 24.02 makes services up for a device that it cannot ask any more.
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
        // SAFETY: libqat is started; `stop` halts the pool before the stop.
        let started =
            unsafe { start::start_instances(self.symbols, services, self.settings, &self.process.memory) };
        tracing::debug!(?services, self.has_heartbeat, "libqat started");
        Ok(Arc::new(started))
    }

    fn stop(&self, started: Arc<Started>) {
        // SAFETY: libqat is still started.
        let started = unsafe { start::halt(started) };
        let is_stopped = self.user_stop();
        start::finish(&started, is_stopped);
    }

    fn user_stop(&self) -> bool {
        // SAFETY: the thread that started; no request is on its way, and no instance is used any more.
        match unsafe { sal::user_stop(self.symbols) } {
            Ok(()) => tracing::debug!("libqat stopped"),
            Err(status) => {
                tracing::warn!(%status, "libqat did not stop");
                return false;
            }
        }
        true
    }

    /// Starts until it works or nobody wants it any more.
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
                    tracing::info!("libqat works again");
                    self.process.recoveries.fetch_add(1, Relaxed);
                    current.set(Ok(started.clone()));
                    return Some(started);
                }
                Err(cause) => {
                    tracing::error!(%cause, again_in = ?self.wait, "libqat does not start anew");
                    let failure = reason.to_string().into();
                    current.set(Err(Arc::new(Unavailability::NotRecovered { failure, cause: cause.into() })));
                }
            }
        }
    }
}

/// The first service that was there before or is there now, and not both.
fn lost(before: &Services, now: &Services) -> Option<Service> {
    let pairs = before.instances.by_service().into_iter().zip(now.instances.by_service());
    pairs
        .filter(|((_, before), (_, now))| (*before == 0) != (*now == 0))
        .map(|((service, _), _)| service)
        .next()
}
