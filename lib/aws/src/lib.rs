//! AWS around a lake: credentials and configuration for S3, the callbacks of a Step Functions task, and the replay queue.

mod credentials;
mod failure;
mod queue;
mod s3;
mod step_functions;

pub use failure::{TaskFailure, output_within, task_failure, task_output};
pub use queue::{MOST_AT_ONCE, Queue, QueueMessage};
pub use s3::{S3Environment, S3Options, open_lake, put_object};
pub use step_functions::{Answer, TaskCallback};
