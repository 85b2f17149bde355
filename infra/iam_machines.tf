# Roles of the state machines: each starts exactly its tasks, passes exactly their roles, and reaches one topic and one queue.

locals {
  # What each definition uses; a test compares it with the definitions.
  machine_rights = {
    window = {
      tasks  = ["check-input", "raw-to-clean", "clean-to-curated", "check", "publish", "quarantine"]
      starts = [], alerts = true, queues = true, waits = false, fans_out = false
    }
    orders_daily = { tasks = [], starts = ["window"], alerts = false, queues = false, waits = false, fans_out = false }
    backfill     = { tasks = ["plan"], starts = ["window"], alerts = true, queues = false, waits = false, fans_out = true }
    replay       = { tasks = [], starts = ["window"], alerts = false, queues = false, waits = false, fans_out = false }
    sla          = { tasks = ["sla"], starts = [], alerts = true, queues = false, waits = false, fans_out = false }
    window_sync  = { tasks = ["run"], starts = [], alerts = true, queues = true, waits = true, fans_out = false }
  }

  execution_arn = {
    for machine in local.machines :
    machine => "arn:${local.partition}:states:${var.region}:${local.account}:execution:${local.machine_name[machine]}"
  }
  rule_arn = "arn:${local.partition}:events:${var.region}:${local.account}:rule"

  # Needed by every role, and by AWS's own account of it not to be narrowed.
  observe_statements = [
    {
      Sid    = "DeliverLogs"
      Effect = "Allow"
      Action = [
        "logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery", "logs:DeleteLogDelivery",
        "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:DescribeResourcePolicies", "logs:DescribeLogGroups",
      ]
      Resource = ["*"]
    },
    {
      Sid      = "Trace"
      Effect   = "Allow"
      Action   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules", "xray:GetSamplingTargets"]
      Resource = ["*"]
    },
  ]

  task_statements = {
    for machine, rights in local.machine_rights : machine => length(rights.tasks) == 0 ? [] : [
      {
        Sid       = "StartTasks"
        Effect    = "Allow"
        Action    = ["ecs:RunTask"]
        Resource  = [for verb in rights.tasks : "arn:${local.partition}:ecs:${var.region}:${local.account}:task-definition/${local.family[verb]}:*"]
        Condition = { ArnEquals = { "ecs:cluster" = local.cluster_arn } }
      },
      {
        Sid       = "PassTaskRoles"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = concat([for verb in rights.tasks : local.task_role_arn[verb]], [local.execution_role_arn])
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
    ]
  }

  # The .sync form follows its task or job to the end, and stops it when the execution is stopped.
  wait_statements = {
    for machine, rights in local.machine_rights : machine => [
      for statement in [
        {
          Sid       = "FollowTasks"
          Effect    = "Allow"
          Action    = ["ecs:DescribeTasks", "ecs:StopTask"]
          Resource  = ["arn:${local.partition}:ecs:${var.region}:${local.account}:task/${var.name}/*"]
          Condition = { ArnEquals = { "ecs:cluster" = local.cluster_arn } }
        },
        {
          Sid       = "HearOfTasks"
          Effect    = "Allow"
          Action    = ["events:PutTargets", "events:PutRule", "events:DescribeRule"]
          Resource  = ["${local.rule_arn}/StepFunctionsGetEventsForECSTaskRule"]
          Condition = {}
        },
        {
          Sid       = "RunGlueJob"
          Effect    = "Allow"
          Action    = ["glue:StartJobRun", "glue:GetJobRun", "glue:GetJobRuns", "glue:BatchStopJobRun"]
          Resource  = [local.glue_job_arn]
          Condition = {}
        },
        {
          Sid       = "ReadResults"
          Effect    = "Allow"
          Action    = ["s3:GetObject"]
          Resource  = ["${local.bucket_arn}/${local.sync_results}*"]
          Condition = {}
        },
      ] : { for key, value in statement : key => value if key != "Condition" || length(value) > 0 }
    ] if rights.waits
  }

  start_statements = {
    for machine, rights in local.machine_rights : machine => [
      {
        Sid      = "StartMachines"
        Effect   = "Allow"
        Action   = ["states:StartExecution"]
        Resource = [for started in rights.starts : local.machine_arn[started]]
      },
      {
        Sid      = "FollowMachines"
        Effect   = "Allow"
        Action   = ["states:DescribeExecution", "states:StopExecution"]
        Resource = [for started in rights.starts : "${local.execution_arn[started]}:*"]
      },
      {
        Sid      = "HearOfMachines"
        Effect   = "Allow"
        Action   = ["events:PutTargets", "events:PutRule", "events:DescribeRule"]
        Resource = ["${local.rule_arn}/StepFunctionsGetEventsForStepFunctionsExecutionRule"]
      },
    ] if length(rights.starts) > 0
  }

  # A Distributed Map starts its children as executions of its own machine.
  fan_out_statements = {
    for machine, rights in local.machine_rights : machine => [
      {
        Sid      = "StartChildren"
        Effect   = "Allow"
        Action   = ["states:StartExecution"]
        Resource = [local.machine_arn[machine]]
      },
      {
        Sid      = "FollowChildren"
        Effect   = "Allow"
        Action   = ["states:DescribeExecution", "states:StopExecution", "states:RedriveExecution"]
        Resource = ["${local.execution_arn[machine]}:*", "${local.execution_arn[machine]}/*"]
      },
    ] if rights.fans_out
  }

  alert_statements = [
    { Sid = "Alert", Effect = "Allow", Action = ["sns:Publish"], Resource = [local.topic_arn] },
    { Sid = "EncryptAlerts", Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = [aws_kms_key.alerts.arn] },
  ]
  queue_statements = [
    { Sid = "QueueReplay", Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [local.queue_arn["replay"]] },
  ]
  result_key_statements = [
    for key_arn in compact([var.lake_kms_key_arn]) :
    { Sid = "ReadEncryptedResults", Effect = "Allow", Action = ["kms:Decrypt"], Resource = [key_arn] }
  ]

  machine_policy = {
    for machine, rights in local.machine_rights : machine => {
      Version = "2012-10-17"
      Statement = concat(
        local.task_statements[machine],
        lookup(local.wait_statements, machine, []),
        lookup(local.start_statements, machine, []),
        lookup(local.fan_out_statements, machine, []),
        [for statement in local.alert_statements : statement if rights.alerts],
        [for statement in local.queue_statements : statement if rights.queues],
        [for statement in local.result_key_statements : statement if rights.waits],
        local.observe_statements,
      )
    }
  }
}

resource "aws_iam_role" "machine" {
  for_each = local.machines

  name        = "${local.machine_name[each.key]}-machine"
  description = "State machine ${local.machine_name[each.key]}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "states.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy" "machine" {
  for_each = local.machines

  name   = each.key
  role   = aws_iam_role.machine[each.key].id
  policy = jsonencode(local.machine_policy[each.key])
}
