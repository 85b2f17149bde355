//! What a run says of itself beside the data: written by name, never read back, no part of any decision.

use bytes::Bytes;
use windrow_core::layout::Key;
use windrow_core::{Error, Result};

use crate::store::Lake;

impl Lake {
    /// Puts a file below `runs/`, over an older one if need be. Nothing in the ledger depends on it.
    ///
    /// # Errors
    /// `Internal` for any other key, else what the store says.
    pub async fn put_run_file(&self, key: &Key, bytes: Bytes) -> Result<()> {
        if !matches!(key, Key::RunFile { .. }) {
            return Err(Error::internal("refused to write a key that is not below runs/").with("key", key));
        }
        self.replace(key, bytes, "cannot write beside the run").await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_run_file_is_replaced_and_no_other_key_passes() {
        let lake = Lake::in_memory();
        let key = Key::parse("runs/orders/2024-09-08/r1/check.clean.orders.json").unwrap();
        for text in ["one", "two"] {
            lake.put_run_file(&key, Bytes::from(text)).await.unwrap();
            assert_eq!(lake.get_bytes(&key.to_string()).await.unwrap(), Bytes::from(text));
        }
        let register = Key::parse("store/clean/orders/ledger/2024-09-08/00000000000000000001.outcome.json").unwrap();
        assert!(lake.put_run_file(&register, Bytes::new()).await.is_err());
        let view = Key::parse("clean/orders/order_date=2024-09-08/part-00000.parquet").unwrap();
        assert!(lake.put_run_file(&view, Bytes::new()).await.is_err());
    }
}
