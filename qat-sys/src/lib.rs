//! Raw bindings and run-time loading of Intel's libqat and libusdm.
