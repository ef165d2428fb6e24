#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| auditlake_fuzz::answer_liveperson(data));
