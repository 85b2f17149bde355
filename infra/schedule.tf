# When datasets are run, when their promise is looked at, when garbage is collected. What could not be started is in the
# queue schedule-dead.

locals {
  # The scheduler puts its time into the text, so the angle brackets must not be escaped, as jsonencode does.
  scheduled_window = "last@<aws.scheduler.scheduled-time>"

  dataset_input = {
    for dataset, settings in var.datasets :
    dataset => replace(replace(jsonencode(merge(
      { dataset = dataset, window = local.scheduled_window },
      settings.profile == null ? {} : { profile = settings.profile },
      settings.runner == null ? {} : { runner = settings.runner },
    )), "\\u003c", "<"), "\\u003e", ">")
  }

  schedules = merge(
    {
      for dataset, settings in var.datasets : "run-${dataset}" => {
        at      = settings.schedule
        zone    = settings.timezone
        machine = settings.state_machine
        input   = local.dataset_input[dataset]
      } if settings.schedule != null
    },
    {
      for dataset, settings in var.datasets : "sla-${dataset}" => {
        at      = settings.sla
        zone    = settings.sla_timezone
        machine = "sla"
        input   = local.dataset_input[dataset]
      } if settings.sla != null
    },
  )
}

resource "aws_scheduler_schedule_group" "this" {
  name = var.name
}

resource "aws_scheduler_schedule" "dataset" {
  for_each = local.schedules

  name                         = each.key
  group_name                   = aws_scheduler_schedule_group.this.name
  schedule_expression          = each.value.at
  schedule_expression_timezone = each.value.zone

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_sfn_state_machine.this[each.value.machine].arn
    role_arn = aws_iam_role.service["scheduler"].arn
    input    = each.value.input

    # A second start of the same window is settled by the ledger.
    retry_policy {
      maximum_retry_attempts       = 20
      maximum_event_age_in_seconds = 3600
    }

    dead_letter_config {
      arn = aws_sqs_queue.this["schedule-dead"].arn
    }
  }

  depends_on = [aws_iam_role_policy.service]
}

resource "aws_scheduler_schedule" "gc" {
  count = var.gc_schedule == null ? 0 : 1

  name                = "gc"
  group_name          = aws_scheduler_schedule_group.this.name
  schedule_expression = var.gc_schedule

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_ecs_cluster.this.arn
    role_arn = aws_iam_role.service["scheduler"].arn

    ecs_parameters {
      task_definition_arn = aws_ecs_task_definition.verb["gc"].arn_without_revision
      launch_type         = "FARGATE"

      network_configuration {
        subnets          = var.subnets
        security_groups  = [aws_security_group.tasks.id]
        assign_public_ip = false
      }
    }

    retry_policy {
      maximum_retry_attempts       = 3
      maximum_event_age_in_seconds = 3600
    }

    dead_letter_config {
      arn = aws_sqs_queue.this["schedule-dead"].arn
    }
  }

  depends_on = [aws_iam_role_policy.service]
}
