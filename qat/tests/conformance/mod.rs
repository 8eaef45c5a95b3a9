//! What every engine must do, as functions over a [`Subject`]. A test binary instantiates them with
//! [`suite!`] for one engine.

pub(crate) mod compression;
pub(crate) mod damage;
pub(crate) mod encryption;
pub(crate) mod foreign;
pub(crate) mod operations;
pub(crate) mod streams;
pub(crate) mod vectors;

/// One test per requirement, over the engine that `$subject` makes; over `None` where there is none and it said so.
macro_rules! suite {
    ($subject:path) => {
        $crate::conformance::suite!($subject,
            compression: round_trips every_level deflate_pieces_form_one_stream compress_into_any_room
                decompress_into_any_room limits futures_equal_blocking_calls wrong_arguments several_members;
            damage: truncations bit_flips garbage_behind wrong_formats lying_headers bombs encrypted_truncations
                encrypted_bit_flips encrypted_segments_moved wrong_keys arbitrary_bytes one_rule;
            encryption: round_trips into_any_room ivs futures_equal_blocking_calls wrong_arguments
                failures_leave_no_plaintext ccm_from_its_parts;
            foreign: we_read_what_others_write others_read_what_we_write;
            operations: process_runs_every_operation process_refuses_what_it_cannot_do statistics_add_up
                dropped_futures_are_abandoned;
            streams: round_trips block_borders any_reader_and_writer errors_of_both_ends pieces_of_a_limit keysets;
            vectors: aes_gcm chacha20_poly1305 aes_ccm aes_cbc a128cbc_hs256 aes_ctr aes_xts ieee1619 rfc7518 sha2 sha3
                hmac rfc4231 checksums;
        );
    };
    ($subject:path, $($module:ident: $($test:ident)+;)+) => {
        $(mod $module {
            $(#[test]
            fn $test() {
                let subject: Option<$crate::support::Subject> = $subject().into();
                if let Some(subject) = subject {
                    $crate::conformance::$module::$test(&subject);
                }
            })+
        })+
    };
}
pub(crate) use suite;
