//! The model, for people and other programs.

use std::time::Duration;

use serde::Serialize;

/// What an [`AutoAccelerator`](crate::AutoAccelerator) measured of both engines and makes of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ModelSnapshot {
    /// Cores that it reckons with.
    pub cores: usize,
    /// Requests on the CPU now, at work or waiting for a thread.
    pub on_cpu: u64,
    /// Requests on the device now.
    pub on_device: u64,
    /// Failures of the device in a row.
    pub failures: u64,
    /// How long the device is still left alone after them.
    pub pause: Duration,
    /// What was measured; work that was not met yet is not in it.
    pub cells: Vec<ModelCell>,
}

/// Measurements of one kind of work at one size.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ModelCell {
    /// The work, such as `compress gzip, level balanced`.
    pub operation: String,
    /// Shortest input that belongs here, in bytes; the longest is shorter than twice that. Inputs below 64 bytes are in
    /// the first cell, those above 64 MiB in the last.
    pub bytes: usize,
    /// Moving average of one core's time.
    pub cpu: Option<Duration>,
    /// Moving averages of the device's time, by depth.
    pub device: Vec<DeviceTime>,
    /// Where a request goes when nothing else is going on.
    pub preferred: Preferred,
}

/// The device's time at a depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DeviceTime {
    /// Least number of requests that were on the device before this one.
    pub in_flight: usize,
    /// Moving average from the call to its result.
    pub time: Duration,
}

/// One of two engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Preferred {
    /// The hardware.
    Device,
    /// The software engine.
    Cpu,
}
