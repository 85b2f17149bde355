//! The one integration binary: the real `windrow` program on projects in temporary folders.

#[cfg(test)]
mod cases;
#[cfg(test)]
mod parquet_files;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tiny;
