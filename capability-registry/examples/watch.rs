//! Prints every change of a registry while a pretended driver starts, loses its device and stops.
//!
//! `cargo run -p qat-capability-registry --example watch -- 'qat.*'`

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

/// Takes the registry, so that the watcher ends with it.
fn drive(registry: Registry) -> Result<(), RegisterError> {
    let pause = || thread::sleep(Duration::from_millis(50));
    let driver = registry.register("driver", [(QAT, State::absent("not started"))])?;
    pause();
    let window = State::Present(Value::Integer(32 << 10));
    driver.replace([(QAT, State::present()), (DEFLATE, State::present()), (WINDOW, window)])?;
    pause();
    driver.replace([(QAT, State::absent("the device was removed"))])?;
    pause();
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
