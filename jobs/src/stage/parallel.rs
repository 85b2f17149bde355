//! The same work for several files at once.

use rayon::prelude::*;
use windrow_core::Result;

/// Does `work` for every item, on as many threads as there are cores.
///
/// # Errors
/// That of the first item, in order, whose work failed.
pub(crate) fn try_each<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    match items {
        [one] => work(one),
        all => all.par_iter().find_map_first(|item| work(item).err()).map_or(Ok(()), Err),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use windrow_core::Error;

    use super::*;

    #[test]
    fn every_item_is_worked_on_and_the_first_failure_in_order_is_told() {
        let seen = AtomicUsize::new(0);
        let count = |_: &u32| {
            seen.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        try_each(&[1, 2, 3], count).unwrap();
        assert_eq!(seen.load(Ordering::Relaxed), 3);
        try_each::<u32>(&[], |_| Err(Error::internal("never"))).unwrap();
        let fails = |item: &u32| if *item > 1 { Err(Error::internal(format!("item {item}"))) } else { Ok(()) };
        assert_eq!(try_each(&[1, 2, 3, 4], fails).unwrap_err().message(), "item 2");
        assert_eq!(try_each(&[5], fails).unwrap_err().message(), "item 5");
    }
}
