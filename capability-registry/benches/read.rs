//! Measures the cost of reads, alone and while another thread rewrites the registry continuously.

use std::{
    hint::black_box,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use capability_registry::{Feature, Registration, Registry, State, Value};
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};

const ENTRIES: u64 = 1000;
const MARKER: Feature = Feature::from_static("marker");

fn fill(registry: &Registry) -> Registration {
    let entries = (0..ENTRIES).map(|number| {
        let name = format!("vendor{}.service{}.feature{number}", number % 10, number % 7);
        (name.parse().unwrap(), State::Present(Value::Integer(number)))
    });
    let deflate = (Feature::from_static("qat.compression.deflate"), State::present());
    let lz4 = (Feature::from_static("qat.compression.lz4"), State::absent("not in this device"));
    registry.register("bench", entries.chain([deflate, lz4])).unwrap()
}

fn reads(group: &mut BenchmarkGroup<'_, WallTime>, registry: &Registry) {
    for (name, query, expected) in [
        ("hit", "qat.compression.deflate", true),
        ("absent", "qat.compression.lz4", false),
        ("miss", "qat.compression.zstd", false),
        ("invalid", "Qat compression", false),
        ("wildcard hit", "qat.*", true),
        ("wildcard miss", "gpu.compression.*", false),
        ("anything", "*", true),
    ] {
        assert_eq!(registry.is_present(query), expected);
        group.bench_function(name, |b| b.iter(|| registry.is_present(black_box(query))));
    }
    group.bench_function("get", |b| b.iter(|| registry.get(black_box("qat.compression.lz4"))));
    group.bench_function("snapshot", |b| b.iter(|| registry.snapshot()));
}

fn alone(c: &mut Criterion) {
    let registry = Registry::new();
    let _registration = fill(&registry);
    reads(&mut c.benchmark_group("alone"), &registry);
}

fn against_a_writer(c: &mut Criterion) {
    let registry = Registry::new();
    let _registration = fill(&registry);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let marker = registry.register("writer", []).unwrap();
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                marker.replace([(MARKER, State::Present(Value::Integer(number)))]).unwrap();
            }
        });
        reads(&mut c.benchmark_group("against a writer"), &registry);
        stop.store(true, Ordering::Relaxed);
    });
}

fn write(c: &mut Criterion) {
    let registry = Registry::new();
    let _registration = fill(&registry);
    let marker = registry.register("writer", []).unwrap();
    let mut number = 0;
    c.bench_function("replace one of 1000", |b| {
        b.iter(|| {
            number += 1;
            marker.replace([(MARKER, State::Present(Value::Integer(number)))]).unwrap();
        });
    });
}

criterion_group!(benches, alone, against_a_writer, write);
criterion_main!(benches);
