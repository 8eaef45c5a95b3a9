//! Registers features in a capability registry, queries them and prints every change. The features are those of a
//! simulated driver that starts, loses its device and stops.
//!
//! Run it with `cargo run -p qat-capability-registry --example watch -- 'qat.*'`; the argument is the pattern to watch.

use std::{env, error::Error, thread, time::Duration};

use capability_registry::{Diff, Feature, Pattern, RegisterError, Registry, State, Value};

const QAT: Feature = Feature::from_static("qat");
const DEFLATE: Feature = Feature::from_static("qat.compression.deflate");
const WINDOW: Feature = Feature::from_static("qat.compression.window-bytes");

fn main() -> Result<(), Box<dyn Error>> {
    let pattern: Pattern = env::args().nth(1).as_deref().unwrap_or("*").parse()?;
    let registry = Registry::new();
    let subscription = registry.subscribe(pattern);

    thread::scope(|scope| {
        scope.spawn(move || subscription.for_each(|diff| print(&diff)));
        drive(registry)
    })?;
    Ok(())
}

/// Registers, replaces and removes features. The registry is dropped at the end, which ends the thread that watches it.
fn drive(registry: Registry) -> Result<(), RegisterError> {
    let pause = || thread::sleep(Duration::from_millis(50));
    let driver = registry.register("driver", [(QAT, State::absent("not started"))])?;
    pause();
    let window = State::Present(Value::Integer(32 << 10));
    driver.replace([(QAT, State::present()), (DEFLATE, State::present()), (WINDOW, window)])?;
    pause();
    println!("any compression: {}", registry.is_present("qat.compression.*"));
    println!("window in bytes: {:?}", registry.get("qat.compression.window-bytes"));
    driver.replace([(QAT, State::absent("the device was removed"))])?;
    pause();
    println!("QAT: {:?}", registry.get("qat"));
    Ok(())
}

fn print(diff: &Diff) {
    for (feature, state) in &diff.removed {
        println!("- {feature} (was {state})");
    }
    for (feature, state) in &diff.added {
        println!("+ {feature}: {state}");
    }
    for change in &diff.changed {
        println!("~ {}: {} -> {}", change.feature, change.before, change.after);
    }
}
