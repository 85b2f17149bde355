//! Rust transforms that contracts can name with `transform: {rust: …}`; SQL files need no entry here.

use windrow_transform::Registry;

/// All Rust transforms of this binary. A team adds its own with `.with("name", function)`.
pub fn registry() -> Registry {
    Registry::new()
}
