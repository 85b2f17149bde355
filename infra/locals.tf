data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

# ARNs are spelled from names where a document holds them: policies and definitions are known before anything exists, so a
# plan shows them and a test reads them.
locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition

  bucket_arn  = "arn:${local.partition}:s3:::${var.lake_bucket}"
  lake_folder = var.lake_prefix == "" ? "" : "${var.lake_prefix}/"
  lake_url    = trimsuffix("s3://${var.lake_bucket}/${var.lake_prefix}", "/")
  lake_arn    = "${local.bucket_arn}/${local.lake_folder}"

  cluster_arn = "arn:${local.partition}:ecs:${var.region}:${local.account}:cluster/${var.name}"
  topic_arn   = "arn:${local.partition}:sns:${var.region}:${local.account}:${var.name}-alerts"
  queue_arn = {
    for queue in ["replay", "replay-dead", "schedule-dead"] :
    queue => "arn:${local.partition}:sqs:${var.region}:${local.account}:${var.name}-${queue}"
  }
  replay_queue_url = "https://sqs.${var.region}.${data.aws_partition.current.dns_suffix}/${local.account}/${var.name}-replay"

  # Every verb that runs as a task of its own, with what it costs to start it; the state machines override the size.
  verbs = {
    check-input      = { cpu = 1024, memory = 4096 }
    raw-to-clean     = { cpu = 1024, memory = 4096 }
    clean-to-curated = { cpu = 1024, memory = 4096 }
    check            = { cpu = 1024, memory = 4096 }
    publish          = { cpu = 1024, memory = 4096 }
    quarantine       = { cpu = 1024, memory = 4096 }
    plan             = { cpu = 512, memory = 2048 }
    sla              = { cpu = 256, memory = 512 }
    run              = { cpu = 1024, memory = 4096 }
    gc               = { cpu = 256, memory = 1024 }
  }
  family             = { for verb in keys(local.verbs) : verb => "${var.name}-${verb}" }
  task_role_arn      = { for verb in keys(local.verbs) : verb => "arn:${local.partition}:iam::${local.account}:role/${var.name}-task-${verb}" }
  execution_role_arn = "arn:${local.partition}:iam::${local.account}:role/${var.name}-execution"
  glue_job_name      = "${var.name}-run"
  glue_job_arn       = "arn:${local.partition}:glue:${var.region}:${local.account}:job/${local.glue_job_name}"
}
