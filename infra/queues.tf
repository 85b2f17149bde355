# The windows that wait for a replay, and the pipe that hands them to the state machine.

locals {
  queues = {
    replay        = { retention_days = 14, visibility_seconds = 300 }
    replay-dead   = { retention_days = 14, visibility_seconds = 30 }
    schedule-dead = { retention_days = 14, visibility_seconds = 30 }
  }
}

resource "aws_sqs_queue" "this" {
  for_each = local.queues

  name                       = "${var.name}-${each.key}"
  sqs_managed_sse_enabled    = true
  message_retention_seconds  = each.value.retention_days * 86400
  visibility_timeout_seconds = each.value.visibility_seconds
}

resource "aws_sqs_queue_redrive_policy" "replay" {
  queue_url = aws_sqs_queue.this["replay"].id

  redrive_policy = jsonencode({
    deadLetterTargetArn = local.queue_arn["replay-dead"]
    maxReceiveCount     = 5
  })

  depends_on = [aws_sqs_queue.this]
}

resource "aws_sqs_queue_policy" "this" {
  for_each  = local.queues
  queue_url = aws_sqs_queue.this[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "DenyPlainHttp"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = local.queue_arn[each.key]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

# Stopped unless start_replay: a window that is run again before somebody corrected its data only fails again.
resource "aws_pipes_pipe" "replay" {
  name          = "${var.name}-replay"
  description   = "Hands queued windows to the replay state machine."
  role_arn      = aws_iam_role.service["pipe"].arn
  source        = aws_sqs_queue.this["replay"].arn
  target        = aws_sfn_state_machine.this["replay"].arn
  desired_state = var.start_replay ? "RUNNING" : "STOPPED"

  source_parameters {
    sqs_queue_parameters {
      batch_size                         = 10
      maximum_batching_window_in_seconds = 30
    }
  }

  target_parameters {
    # The machine takes an array of these, one for each message. The state machine of a window writes all four; a body as a
    # whole (<$.body>) is said to arrive as text.
    input_template = <<-JSON
      {"dataset": "<$.body.dataset>", "window": "<$.body.window>", "profile": "<$.body.profile>", "lake": "<$.body.lake>"}
    JSON

    step_function_state_machine_parameters {
      invocation_type = "FIRE_AND_FORGET"
    }
  }

  depends_on = [aws_iam_role_policy.service]
}
