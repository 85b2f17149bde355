# Roles of AWS services that act for windrow: ECS fetches the image, the scheduler starts executions, the pipe hands over
# messages.

locals {
  # An image in ECR: account, region, repository. Any other registry needs no rights here.
  ecr = try(regex("^(?P<account>[0-9]{12})\\.dkr\\.ecr\\.(?P<region>[a-z0-9-]+)\\.[^/]+/(?P<repository>[^:@]+)", var.image), null)

  service_principal = {
    execution = "ecs-tasks.amazonaws.com"
    scheduler = "scheduler.amazonaws.com"
    pipe      = "pipes.amazonaws.com"
  }

  service_statements = {
    execution = concat(
      [
        {
          Sid      = "WriteLogs"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = ["arn:${local.partition}:logs:${var.region}:${local.account}:log-group:/${var.name}/tasks/*"]
        },
      ],
      [
        for image in local.ecr == null ? [] : [local.ecr] : {
          Sid      = "FetchImage"
          Effect   = "Allow"
          Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
          Resource = ["arn:${local.partition}:ecr:${image.region}:${image.account}:repository/${image.repository}"]
        }
      ],
      [
        for image in local.ecr == null ? [] : [local.ecr] :
        { Sid = "SignIn", Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = ["*"] }
      ],
    )

    scheduler = concat(
      [
        {
          Sid      = "StartMachines"
          Effect   = "Allow"
          Action   = ["states:StartExecution"]
          Resource = sort([for machine in ["window", "window_sync", "orders_daily", "sla"] : local.machine_arn[machine]])
        },
        {
          Sid      = "KeepWhatCouldNotStart"
          Effect   = "Allow"
          Action   = ["sqs:SendMessage"]
          Resource = [local.queue_arn["schedule-dead"]]
        },
      ],
      [
        for schedule in compact([var.gc_schedule]) : {
          Sid       = "CollectGarbage"
          Effect    = "Allow"
          Action    = ["ecs:RunTask"]
          Resource  = ["arn:${local.partition}:ecs:${var.region}:${local.account}:task-definition/${local.family["gc"]}:*"]
          Condition = { ArnEquals = { "ecs:cluster" = local.cluster_arn } }
        }
      ],
      [
        for schedule in compact([var.gc_schedule]) : {
          Sid       = "PassGcRoles"
          Effect    = "Allow"
          Action    = ["iam:PassRole"]
          Resource  = [local.task_role_arn["gc"], local.execution_role_arn]
          Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
        }
      ],
    )

    pipe = [
      {
        Sid      = "TakeFromReplayQueue"
        Effect   = "Allow"
        Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
        Resource = [local.queue_arn["replay"]]
      },
      {
        Sid      = "StartReplay"
        Effect   = "Allow"
        Action   = ["states:StartExecution"]
        Resource = [local.machine_arn["replay"]]
      },
    ]
  }
}

resource "aws_iam_role" "service" {
  for_each = local.service_principal

  name        = "${var.name}-${each.key}"
  description = "windrow: ${each.key}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = each.value }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy" "service" {
  for_each = local.service_principal

  name   = each.key
  role   = aws_iam_role.service[each.key].id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.service_statements[each.key] })
}
