//! AWS around a lake: credentials and configuration for S3, and the callbacks of a Step Functions task.

mod credentials;
mod failure;
mod s3;
mod step_functions;

pub use failure::{TaskFailure, task_failure, task_output};
pub use s3::{S3Environment, S3Options, open_lake, put_object};
pub use step_functions::{Answer, TaskCallback};
