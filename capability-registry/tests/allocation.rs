//! Tests that reads allocate nothing, as the documentation states.

use std::hint::black_box;

use allocation_counter::measure;
use capability_registry::{Feature, Registry, State};

#[test]
fn reads_allocate_nothing() {
    let registry = Registry::new();
    // The names are parsed and not static, so that a copy of a name or a reason would be counted.
    let names = ["a.b", "a.c"].map(|name| name.parse::<Feature>().unwrap());
    let _registration = registry.register("test", names.map(|name| (name, State::absent("reason")))).unwrap();
    let read = || {
        for query in ["a.b", "a.b.c.d", "a.*", "*", "A!", ""] {
            black_box(registry.is_present(query));
            black_box(registry.get(query));
            black_box(registry.nearest(query));
            black_box(registry.snapshot());
            black_box(registry.generation());
        }
    };
    assert!(measure(|| drop(black_box("counted".to_owned()))).count_total > 0, "the counter is not in place");
    assert!(measure(read).count_total <= 1, "a thread's first read prepares one slot");
    assert_eq!(measure(read).count_total, 0);
}
