# The state machines of orchestrations/, each with a role of its own (iam_machines.tf).

locals {
  machines    = toset(["window", "orders_daily", "backfill", "replay", "sla", "window_sync"])
  machine_arn = { for machine in local.machines : machine => "arn:${local.partition}:states:${var.region}:${local.account}:stateMachine:${local.machine_name[machine]}" }
  machine_name = {
    for machine in local.machines : machine => "${var.name}-${replace(machine, "_", "-")}"
  }

  sync_results = "${local.lake_folder}runs/sync/"

  substitutions = merge(
    { for verb in keys(local.verbs) : "task_${replace(verb, "-", "_")}" => local.family[verb] },
    {
      alert_topic_arn          = local.topic_arn
      capacity_provider        = var.capacity_provider
      cluster_arn              = local.cluster_arn
      glue_job_name            = local.glue_job_name
      lake_url                 = local.lake_url
      profile                  = var.profile
      replay_queue_url         = local.replay_queue_url
      result_bucket            = var.lake_bucket
      result_prefix            = local.sync_results
      security_group           = aws_security_group.tasks.id
      subnet_a                 = var.subnets[0]
      subnet_b                 = var.subnets[1]
      window_state_machine_arn = local.machine_arn["window"]
    },
  )

  definition = {
    for machine in local.machines :
    machine => templatefile("${path.module}/../orchestrations/${machine}_state_machine.json", local.substitutions)
  }
}

# The prefix keeps the group's resource policy within its size limit.
resource "aws_cloudwatch_log_group" "machine" {
  for_each = local.machines

  name              = "/aws/vendedlogs/states/${local.machine_name[each.key]}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
}

resource "aws_sfn_state_machine" "this" {
  for_each = local.machines

  name       = local.machine_name[each.key]
  role_arn   = aws_iam_role.machine[each.key].arn
  definition = local.definition[each.key]
  type       = "STANDARD"

  # States without their data: the data holds task tokens.
  logging_configuration {
    log_destination        = "${aws_cloudwatch_log_group.machine[each.key].arn}:*"
    level                  = "ALL"
    include_execution_data = false
  }

  tracing_configuration {
    enabled = true
  }

  depends_on = [aws_iam_role_policy.machine]
}
