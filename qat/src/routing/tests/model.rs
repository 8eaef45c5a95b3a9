//! The model in virtual time: what it chooses after what it saw, and what that makes of two engines.

use std::time::Duration;

use accel_core::{Checksum, Cipher, Digest, Format, Level, SoftwareReason};
use proptest::prelude::*;

use super::super::model::{Choice, Counted, Model};
use super::super::snapshot::Preferred;
use crate::job::WorkClass;

const GZIP: WorkClass = WorkClass::Compress(Format::Gzip, Level::Balanced);
const LEN: usize = 64 << 10;
const US: u64 = 1000;
const MS: u64 = 1000 * US;

/// Two engines in virtual time. Requests come from `clients` that ask again as soon as they are answered.
#[derive(Debug, Clone, Copy)]
struct Machine {
    cores: u32,
    /// Whether clients are threads that share the cores, or futures of which as many as there are cores work at a time.
    threads: bool,
    /// Time of one request on one core.
    cpu: u64,
    /// The device works on this many at a time, for this long each, and holds at most so many.
    parallel: usize,
    device: u64,
    capacity: usize,
    clients: usize,
    /// Whether service times vary from half to one and a half of the above, and one in 200 is twenty times as long.
    noisy: bool,
}

/// A request on its way.
struct Job<'a> {
    measurement: super::super::model::Measurement,
    came: f64,
    /// Nanoseconds of service, and those of them that are missing.
    needs: f64,
    left: f64,
    _count: Counted<&'a Model>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    on_device: u64,
    on_cpu: u64,
    busy: u64,
    full: u64,
    measured: u64,
    elapsed: f64,
    draw: u64,
}

impl Seen {
    fn throughput(&self) -> f64 {
        (self.on_device + self.on_cpu) as f64 / self.elapsed
    }

    fn device_share(&self) -> f64 {
        self.on_device as f64 / (self.on_device + self.on_cpu) as f64
    }
}

impl Machine {
    /// As much as both engines do when each has all the clients.
    fn sum_of_both(&self) -> f64 {
        let cpu = self.clients.min(self.cores as usize) as f64 / self.cpu as f64;
        let device = self.clients.min(self.parallel).min(self.capacity) as f64 / self.device as f64;
        let mean = if self.noisy { (199.0 + 20.0) / 200.0 } else { 1.0 };
        (cpu + device) / mean
    }

    /// How long a request that takes `ns` on average takes this time.
    fn service(&self, ns: u64, seen: &mut Seen) -> f64 {
        if !self.noisy {
            return ns as f64;
        }
        seen.draw = seen.draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let draw = (seen.draw >> 40) as f64 / (1 << 24) as f64;
        let outlier = if (seen.draw >> 32).is_multiple_of(200) { 20.0 } else { 1.0 };
        ns as f64 * (0.5 + draw) * outlier
    }

    /// Lets `count` requests be answered from `start` on.
    fn run(&self, model: &Model, start: f64, count: u64) -> Seen {
        let (mut now, mut seen) = (start, Seen::default());
        let (mut on_device, mut on_cpu) = (Vec::<Job<'_>>::new(), Vec::<Job<'_>>::new());
        for _ in 0..self.clients {
            self.ask(model, now, &mut on_device, &mut on_cpu, &mut seen);
        }
        while seen.on_device + seen.on_cpu < count {
            // Jobs are in order of arrival: the first ones are those at work.
            let at_work = if self.threads { on_cpu.len() } else { on_cpu.len().min(self.cores as usize) };
            let share = (f64::from(self.cores) / at_work.max(1) as f64).min(1.0);
            let next = |jobs: &[Job<'_>]| {
                let by_left =
                    |(_, a): &(usize, &Job<'_>), (_, b): &(usize, &Job<'_>)| a.left.total_cmp(&b.left);
                jobs.iter().enumerate().min_by(by_left).map(|(index, job)| (index, job.left))
            };
            let parallel = on_device.len().min(self.parallel);
            let device_next = next(&on_device[..parallel]);
            let cpu_next = next(&on_cpu[..at_work]).map(|(index, left)| (index, left / share));
            let is_device = match (device_next, cpu_next) {
                (Some((_, device)), Some((_, cpu))) => device <= cpu,
                (device, _) => device.is_some(),
            };
            let (index, step) =
                if is_device { device_next } else { cpu_next }.expect("clients wait for something");
            now += step;
            on_device[..parallel].iter_mut().for_each(|job| job.left -= step);
            on_cpu[..at_work].iter_mut().for_each(|job| job.left -= step * share);
            if is_device {
                let job = on_device.remove(index);
                model.device_did(&job.measurement, Duration::from_nanos((now - job.came) as u64));
                seen.on_device += 1;
            } else {
                let job = on_cpu.remove(index);
                // Futures are timed from when they get a core, threads with all that share it.
                let crowd = if self.threads { 1.0 / share } else { 1.0 };
                model.cpu_did(
                    &job.measurement,
                    Duration::from_nanos((job.needs * crowd) as u64),
                    crowd as f32,
                );
                seen.on_cpu += 1;
            }
            self.ask(model, now, &mut on_device, &mut on_cpu, &mut seen);
        }
        seen.elapsed = now - start;
        seen
    }

    fn ask<'a>(
        &self,
        model: &'a Model,
        now: f64,
        on_device: &mut Vec<Job<'a>>,
        on_cpu: &mut Vec<Job<'a>>,
        seen: &mut Seen,
    ) {
        let (choice, measurement) = model.choose(GZIP, LEN, on_device.len(), now as u64);
        match choice {
            Choice::Device if on_device.len() < self.capacity => {
                let needs = self.service(self.device, seen);
                let _count = Counted::sent(model);
                on_device.push(Job { measurement, came: now, needs, left: needs, _count });
                return;
            }
            Choice::Device => seen.full += 1,
            Choice::Cpu(SoftwareReason::Busy) => seen.busy += 1,
            Choice::Cpu(SoftwareReason::Measured) => seen.measured += 1,
            Choice::Cpu(_) => {}
        }
        let needs = self.service(self.cpu, seen);
        on_cpu.push(Job { measurement, came: now, needs, left: needs, _count: Counted::running(model) });
    }
}

const MACHINE: Machine = Machine {
    cores: 2,
    threads: false,
    cpu: 500 * US,
    parallel: 4,
    device: 100 * US,
    capacity: 64,
    clients: 32,
    noisy: false,
};

/// The worst share of the sum of both engines that they reach together, over speeds, depths and numbers of clients.
fn worst_share(noisy: bool) -> (f64, String) {
    let mut worst = (f64::INFINITY, String::new());
    for (cores, threads) in [(2, false), (2, true), (8, false), (8, true)] {
        for ratio in [0.1, 0.3, 1.0, 3.0, 10.0] {
            for (parallel, capacity, clients) in [(1, 511, 24), (4, 16, 32), (4, 511, 64), (16, 64, 48)] {
                // All of the device does `ratio` times what all cores do.
                let device = parallel as f64 * MACHINE.cpu as f64 / (ratio * f64::from(cores));
                let device = device as u64;
                let machine =
                    Machine { cores, threads, parallel, device, capacity, clients, noisy, ..MACHINE };
                let model = Model::with_cores(cores);
                let warm = machine.run(&model, 0.0, 1000);
                let seen = machine.run(&model, warm.elapsed, 3000);
                let share = seen.throughput() / machine.sum_of_both();
                if share < worst.0 {
                    worst = (share, format!("{share:.3} at {ratio}, {machine:?}: {seen:?}"));
                }
            }
        }
    }
    worst
}

#[test]
fn both_engines_together_reach_nine_tenths_of_their_sum() {
    for noisy in [false, true] {
        let (share, what) = worst_share(noisy);
        println!("worst: {what}");
        assert!(share >= 0.9, "{what}");
    }
}

/// One request at a time: only the faster engine is of use, and the other is asked now and then.
#[test]
fn a_single_client_gets_the_faster_engine() {
    let alone = Machine { clients: 1, ..MACHINE };
    for (device, prefers_device) in [(50 * US, true), (5 * MS, false)] {
        let machine = Machine { device, ..alone };
        let model = Model::with_cores(2);
        let warm = machine.run(&model, 0.0, 200);
        let seen = machine.run(&model, warm.elapsed, 10_000);
        let share = seen.device_share();
        assert_eq!(seen.device_share() > 0.5, prefers_device, "{seen:?}");
        let other = if prefers_device { 1.0 - share } else { share };
        assert!(other > 0.0 && other < 1.0 / 64.0, "{other} {seen:?}");
        assert_eq!(seen.measured > 0, prefers_device, "{seen:?}");
        let preferred = if prefers_device { Preferred::Device } else { Preferred::Cpu };
        let snapshot = model.snapshot(0, 0);
        assert_eq!((snapshot.cells.len(), snapshot.cells[0].preferred), (1, preferred));
    }
}

#[test]
fn a_device_that_becomes_slow_is_left_and_found_again_when_it_recovers() {
    for clients in [1, 32] {
        // Fast enough that the CPU would not add what is worth while.
        let fast = Machine { device: 20 * US, parallel: 16, clients, ..MACHINE };
        let slow = Machine { device: 20 * MS, parallel: 1, ..fast };
        let model = Model::with_cores(2);
        let first = fast.run(&model, 0.0, 2000);
        assert!(first.device_share() > 0.9, "{clients}: {first:?}");
        let noticing = slow.run(&model, 1e10, 1000);
        let noticed = slow.run(&model, 2e10, 2000);
        assert!(noticed.device_share() < 0.05, "{clients}: {noticing:?} {noticed:?}");
        let recovering = fast.run(&model, 1e12, 20_000);
        let recovered = fast.run(&model, 2e12, 2000);
        assert!(recovered.device_share() > 0.9, "{clients}: {recovering:?} {recovered:?}");
    }
}

#[test]
fn a_full_device_leaves_the_rest_to_the_cpu() {
    let machine = Machine { capacity: 2, parallel: 2, device: 100 * US, ..MACHINE };
    let model = Model::with_cores(2);
    let seen = machine.run(&model, 0.0, 5000);
    assert!(seen.full > 0 && seen.on_cpu > 0 && seen.on_device > seen.on_cpu, "{seen:?}");
}

#[test]
fn a_saturated_device_gets_help_from_an_idle_core_and_the_other_way_round() {
    let model = Model::with_cores(2);
    let measurement = |depth| model.measurement(GZIP, LEN, depth, 0);
    model.cpu_did(&measurement(0), Duration::from_micros(500), 1.0);
    for _ in 0..10 {
        model.device_did(&measurement(0), Duration::from_micros(100));
        model.device_did(&measurement(2), Duration::from_micros(300));
    }
    let choose = |depth| model.choose(GZIP, LEN, depth, 0).0;
    assert_eq!(choose(0), Choice::Device);
    assert_eq!(choose(2), Choice::Cpu(SoftwareReason::Busy));
    let crowd = [(); 2].map(|()| Counted::running(&model));
    assert_eq!(choose(2), Choice::Device);
    drop(crowd);
    // Twice as slow as the CPU, and the cores are taken.
    let model = Model::with_cores(2);
    model.cpu_did(&model.measurement(GZIP, LEN, 0, 0), Duration::from_micros(500), 1.0);
    model.device_did(&model.measurement(GZIP, LEN, 0, 0), Duration::from_micros(1000));
    assert_eq!(model.choose(GZIP, LEN, 0, 0).0, Choice::Cpu(SoftwareReason::Sooner));
    let _crowd = [(); 2].map(|()| Counted::waiting(&model));
    assert_eq!(model.choose(GZIP, LEN, 0, 0).0, Choice::Device);
}

#[test]
fn shared_cores_do_not_look_slow() {
    let model = Model::with_cores(2);
    model.cpu_did(&model.measurement(GZIP, LEN, 0, 0), Duration::from_micros(2000), 4.0);
    assert_eq!(model.snapshot(0, 0).cells[0].cpu, Some(Duration::from_micros(500)));
}

/// Before the first figures: small requests and fast kinds on the CPU, large and slow ones on the device, and what is
/// known of one size helps with the next.
#[test]
fn the_first_choices_follow_the_priors_and_the_neighbours() {
    let model = Model::with_cores(2);
    let choose = |kind, len| model.choose(kind, len, 0, 0).0;
    let sooner = Choice::Cpu(SoftwareReason::Sooner);
    assert_eq!((choose(GZIP, 100), choose(GZIP, LEN)), (sooner, Choice::Device));
    let gcm = WorkClass::Encrypt(Cipher::AesGcm);
    assert_eq!((choose(gcm, 8192), choose(gcm, 1 << 20)), (sooner, Choice::Device));
    // The device took 50 ms for 64 KiB: it will not be fast at 128 KiB. Nobody asked it there.
    model.device_did(&model.measurement(GZIP, LEN, 0, 0), Duration::from_millis(50));
    assert_eq!(choose(GZIP, 2 * LEN), sooner);
    // An engine without figures gets its turn early.
    let turns: Vec<_> = (0..300).map(|_| choose(gcm, 16 << 10)).collect();
    assert!(turns.contains(&Choice::Device));
}

#[test]
fn a_failing_device_is_left_alone_for_longer_each_time() {
    let model = Model::with_cores(2);
    let at = |now: u64| model.choose(GZIP, LEN, 0, now);
    let blocked = Choice::Cpu(SoftwareReason::DeviceError);
    let (_, measurement) = at(0);
    let (_, together) = at(1);
    model.device_failed(&measurement, 5);
    // Sent before the first failure was noticed: the same event.
    model.device_failed(&together, 6);
    assert_eq!(model.snapshot(0, 5).failures, 1);
    assert_eq!(model.snapshot(0, 5).pause, Duration::from_millis(10));
    assert_eq!((at(6).0, at(10 * MS + 4).0), (blocked, blocked));
    let (choice, measurement) = at(10 * MS + 5);
    assert_eq!((choice, at(10 * MS + 6).0), (Choice::Device, blocked));
    model.device_failed(&measurement, 11 * MS);
    assert_eq!((at(11 * MS + 20 * MS - 1).0, model.snapshot(0, 11 * MS).failures), (blocked, 2));
    let (choice, measurement) = at(31 * MS);
    assert_eq!(choice, Choice::Device);
    model.device_did(&measurement, Duration::from_micros(50));
    assert_eq!((at(31 * MS + 1).0, model.snapshot(0, 31 * MS).failures), (Choice::Device, 0));
    // A late success from before a failure does not end the pause.
    let (_, late) = at(32 * MS);
    let (_, failing) = at(33 * MS);
    model.device_failed(&failing, 34 * MS);
    model.device_did(&late, Duration::from_micros(50));
    assert_eq!(at(35 * MS).0, blocked);
}

#[test]
fn the_longest_pause_has_an_end() {
    let model = Model::with_cores(2);
    for n in 1..100 {
        model.device_failed(&model.measurement(GZIP, LEN, 0, n * 1000 * MS), n * 1000 * MS);
    }
    assert_eq!(model.snapshot(0, 99 * 1000 * MS).pause, Duration::from_millis(10_240));
}

fn kinds() -> Vec<WorkClass> {
    use Format::{Deflate, Gzip, Lz4Block, Lz4Frame, Zlib, Zstd};
    let formats = [Deflate, Zlib, Gzip, Lz4Block, Lz4Frame, Zstd];
    let levels = [Level::Fast, Level::Balanced, Level::Best].into_iter().chain((0..=22).map(Level::Exact));
    let compress = levels.flat_map(|level| formats.map(|format| WorkClass::Compress(format, level)));
    let ciphers =
        Cipher::ALL.into_iter().flat_map(|cipher| [WorkClass::Encrypt(cipher), WorkClass::Decrypt(cipher)]);
    let sums = [Checksum::Crc32, Checksum::Adler32, Checksum::XxHash32, Checksum::XxHash64];
    let digests = Digest::ALL;
    compress
        .chain(formats.map(WorkClass::Decompress))
        .chain(ciphers)
        .chain(sums.map(WorkClass::Checksum))
        .chain(digests.map(WorkClass::Digest))
        .chain(digests.map(WorkClass::Hmac))
        .collect()
}

#[test]
fn every_kind_has_a_row_of_its_own() {
    let mut rows: Vec<usize> = kinds().into_iter().map(WorkClass::index).collect();
    let count = rows.len();
    rows.sort_unstable();
    rows.dedup();
    assert_eq!((rows.len(), rows.last().is_some_and(|last| *last < WorkClass::COUNT)), (count, true));
    // Levels that no format has share the last row, so that no caller can make the table grow.
    assert_eq!(
        WorkClass::Compress(Format::Zstd, Level::Exact(255)).index(),
        WorkClass::Compress(Format::Zstd, Level::Exact(22)).index()
    );
}

#[test]
fn the_snapshot_is_what_was_observed() {
    let model = Model::with_cores(3);
    model.cpu_did(&model.measurement(GZIP, LEN, 0, 0), Duration::from_micros(700), 1.0);
    model.device_did(&model.measurement(GZIP, LEN + 1, 9, 0), Duration::from_micros(80));
    let _sent = Counted::sent(&model);
    let seen = serde_json::to_value(model.snapshot(1, 0)).unwrap();
    let time = |us: u64| serde_json::json!({ "secs": 0, "nanos": us * 1000 });
    assert_eq!(
        seen,
        serde_json::json!({
            "cores": 3, "on_cpu": 0, "on_device": 1, "failures": 0, "pause": time(0),
            "cells": [{
                "operation": "compress gzip, level balanced", "bytes": 65536, "cpu": time(700),
                "device": [{ "in_flight": 8, "time": time(80) }], "preferred": "device",
            }],
        })
    );
}

proptest! {
    /// Whatever was observed, there is a choice, and a device in its pause is not it.
    #[test]
    fn any_history_leads_to_a_choice(
        steps in prop::collection::vec((0..4_u8, any::<usize>(), any::<usize>(), any::<u64>(), 0..3000_usize), 1..200),
        cores in 1..512_u32,
    ) {
        let (model, kinds) = (Model::with_cores(cores), kinds());
        let mut now = 0_u64;
        for (step, kind, len, time, depth) in steps {
            let kind = kinds[kind % kinds.len()];
            now = now.saturating_add(time % (20 * MS));
            let (_, measurement) = model.choose(kind, len, depth, now);
            match step {
                0 => model.cpu_did(&measurement, Duration::from_nanos(time), depth as f32),
                1 => model.device_did(&measurement, Duration::from_nanos(time)),
                2 => {
                    model.device_failed(&measurement, now);
                    prop_assert_ne!(model.choose(kind, len, depth, now).0, Choice::Device);
                }
                _ => model.device_took(&measurement, Duration::from_nanos(time)),
            }
        }
        let snapshot = model.snapshot(0, now);
        prop_assert!(snapshot.cells.iter().all(|cell| cell.cpu.is_some() || !cell.device.is_empty()));
    }
}
