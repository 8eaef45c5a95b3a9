//! Readers that stop after the first gzip member or Zstandard frame get all of what streams write by default.

mod support;

use accel_core::Level;
use support::readers::default_output_is_read;
use support::software;

#[test]
fn they_get_everything() {
    for threads in [1, 2] {
        for level in [Level::Fast, Level::Balanced] {
            default_output_is_read(&software().engine, level, threads);
        }
    }
}
