output "lake_url" {
  description = "The lake, for `windrow --lake`."
  value       = local.lake_url
}

output "state_machine_arns" {
  description = "State machines by file name, for `aws stepfunctions start-execution`."
  value       = local.machine_arn
}

output "alert_topic_arn" {
  description = "Topic of alerts."
  value       = local.topic_arn
}

output "replay_queue_url" {
  description = "Windows that wait for a replay, for `windrow replay --from-queue`."
  value       = local.replay_queue_url
}

output "cluster" {
  description = "Cluster of the tasks."
  value       = var.name
}

output "task_definitions" {
  description = "Task definition families by verb."
  value       = local.family
}

output "security_group" {
  description = "Security group of the tasks, to admit them to VPC endpoints."
  value       = aws_security_group.tasks.id
}

output "bucket_policy" {
  description = "What the bucket's policy must hold; add it yourself when create_bucket is false."
  value       = jsonencode(local.bucket_policy)
}
