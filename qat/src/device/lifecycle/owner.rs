//! The thread that owns libqat: starts it, watches over it, starts it anew when its devices fail, and stops it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use qat_sys::Symbols;

use super::{DriverState, PROCESS_NAME, Process, services, start};
use crate::device::instances::{IDLE_TICK, Pool, RestartReason, TICK, Watchdog};
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
    started: Instant,
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
            started: Instant::now(),
        }
    }

    /// Sends what the first start came to, and stays until the end of `stopped`, on which nothing is ever sent.
    pub(super) fn run(
        mut self,
        answer: &Sender<Result<Arc<DriverState>, Unavailability>>,
        stopped: &Receiver<()>,
    ) {
        let mut pool = match self.start() {
            Ok(pool) => pool,
            Err(reason) => {
                let _ = answer.send(Err(reason));
                return;
            }
        };
        let current = Arc::new(DriverState::new(pool.clone()));
        if answer.send(Ok(current.clone())).is_err() {
            return self.stop(pool);
        }
        let mut watch = Watchdog::new();
        loop {
            let tick = if pool.is_busy() { TICK } else { IDLE_TICK };
            if stopped.recv_timeout(tick) != Err(RecvTimeoutError::Timeout) {
                current.set(Err(Arc::new(Unavailability::Stopped)));
                return self.stop(pool);
            }
            let Some(trouble) = self.look(&mut watch, &pool) else { continue };
            tracing::error!(%trouble, "libqat is stopped and started anew");
            let reason = Unavailability::Recovering { trouble: trouble.to_string().into() };
            current.set(Err(Arc::new(reason)));
            self.stop(pool);
            match self.start_again(trouble, &current, stopped) {
                Some(anew) => pool = anew,
                None => return,
            }
            watch = Watchdog::new();
        }
    }

    /// Asks for events and heartbeat, and gives up what they and the deadline end.
    fn look(&mut self, watch: &mut Watchdog, pool: &Pool) -> Option<RestartReason> {
        let ask = || {
            // SAFETY: libqat is started, and this thread is the one that stops it.
            if let Err(status) = unsafe { sal::poll_device_events(self.symbols) } {
                tracing::debug!(%status, "libqat does not look for device events");
            }
        };
        let trouble = watch.look(pool, ask);
        let is_dead = self.has_heartbeat && watch.is_heartbeat_due() && !self.is_alive();
        trouble.max(is_dead.then_some(RestartReason::Heartbeat))
    }

    fn is_alive(&self) -> bool {
        // SAFETY: libqat is started, and this thread is the one that stops it.
        unsafe { sal::check_devices(self.symbols) }.is_ok()
    }

    fn start(&mut self) -> Result<Arc<Pool>, Unavailability> {
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
        self.started = Instant::now();
        // SAFETY: libqat is started; `stop` halts the pool before the stop.
        let pool = unsafe { start::pool(self.symbols, services, self.settings, &self.process.memory) };
        tracing::debug!(?services, self.has_heartbeat, "libqat started");
        Ok(Arc::new(pool))
    }

    fn stop(&self, pool: Arc<Pool>) {
        // SAFETY: libqat is still started.
        let pool = unsafe { start::halt(pool) };
        let is_stopped = self.user_stop();
        start::finish(&pool, is_stopped);
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
        trouble: RestartReason,
        current: &DriverState,
        stopped: &Receiver<()>,
    ) -> Option<Arc<Pool>> {
        if self.started.elapsed() > STABLE {
            self.wait = Duration::ZERO;
        }
        loop {
            if !self.wait.is_zero() && stopped.recv_timeout(self.wait) != Err(RecvTimeoutError::Timeout) {
                return None;
            }
            self.wait = (self.wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
            match self.start() {
                Ok(pool) => {
                    tracing::info!("libqat works again");
                    self.process.recoveries.fetch_add(1, Relaxed);
                    current.set(Ok(pool.clone()));
                    return Some(pool);
                }
                Err(cause) => {
                    tracing::error!(%cause, again_in = ?self.wait, "libqat does not start anew");
                    let trouble = trouble.to_string().into();
                    current.set(Err(Arc::new(Unavailability::NotRecovered { trouble, cause: cause.into() })));
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
