//! The engine's module of vector instructions with its tests, compiled in here as it is.
#![allow(dead_code, reason = "the module holds what only the engine uses")]

#[path = "../../src/simd/mod.rs"]
mod simd;

#[test]
fn neon_is_what_is_tested() {
    assert_eq!(format!("{:?}", simd::Level::detect()), "Neon");
}
