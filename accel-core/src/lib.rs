//! Vocabulary of hardware accelerators: traits, operations, outcomes, statistics, errors.
