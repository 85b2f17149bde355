//! The one integration binary: the real `windrow` program on projects in temporary folders.

#[cfg(test)]
mod cases;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod cycle;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod parquet_files;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tiny;
