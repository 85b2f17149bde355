# What a person must hear of. Every alarm goes to the topic, when it begins and when it is over.
#
# | Question                                        | Alarm                                                   |
# |-------------------------------------------------|---------------------------------------------------------|
# | did an execution fail, time out, get throttled? | <machine>-failed, -timed-out, -throttled, each machine  |
# | was a promise broken?                           | sla-failed; sla-silent: nobody even looked              |
# | did a stage fail?                               | <dataset>-<stage>-failed                                |
# | did data fail its checks?                       | <dataset>-quality-failed                                |
# | were rows refused?                              | <dataset>-rows-rejected                                 |
# | is what readers see old?                        | <dataset>-stale                                         |
# | did nothing succeed for over a day?             | <dataset>-no-success; silence counts as failure         |
# | does a window wait for a replay for long?       | replay-waiting                                          |
# | did a message or a start get lost?              | <queue>-not-empty                                       |
# | was a task killed?                              | rule task-killed: exit code 137, most often memory      |
# | does the scheduler fail to start?               | schedules-not-started, schedules-throttled              |

locals {
  metrics_namespace = "windrow"
  alarm_actions     = [aws_sns_topic.alerts.arn]

  machine_metrics = {
    failed    = "ExecutionsFailed"
    timed-out = "ExecutionsTimedOut"
    throttled = "ExecutionThrottled"
  }
  machine_alarms = {
    for pair in setproduct(local.machines, keys(local.machine_metrics)) :
    "${replace(pair[0], "_", "-")}-${pair[1]}" => { machine = pair[0], metric = local.machine_metrics[pair[1]] }
  }

  stages = ["check-input", "raw-to-clean", "clean-to-curated", "check", "publish", "run"]

  # Sums over whatever further dimensions a metric has; a dataset has no quotes in its name.
  dataset_alarms = merge(
    {
      for pair in setproduct(keys(var.datasets), local.stages) : "${pair[0]}-${pair[1]}-failed" => {
        query       = "SELECT SUM(\"Failure\") FROM SCHEMA(\"${local.metrics_namespace}\", dataset, layer, stage) WHERE dataset = '${pair[0]}' AND stage = '${pair[1]}'"
        threshold   = 0
        description = "${pair[1]} of ${pair[0]} failed"
      }
    },
    {
      for dataset in keys(var.datasets) : "${dataset}-quality-failed" => {
        query       = "SELECT SUM(\"QualityFailures\") FROM SCHEMA(\"${local.metrics_namespace}\", dataset, layer, stage) WHERE dataset = '${dataset}'"
        threshold   = 0
        description = "${dataset} failed its quality checks"
      }
    },
    {
      for dataset, settings in var.datasets : "${dataset}-rows-rejected" => {
        query       = "SELECT SUM(\"RowsRejected\") FROM SCHEMA(\"${local.metrics_namespace}\", dataset, layer, stage) WHERE dataset = '${dataset}'"
        threshold   = settings.max_rejected_rows
        description = "more than ${settings.max_rejected_rows} rows of ${dataset} were refused"
      }
    },
  )
  promised_silence = [for settings in var.datasets : settings.max_silence_hours if settings.sla != null]
  # The second form walks all stages in one task.
  last_stage = { for dataset, settings in var.datasets : dataset => settings.state_machine == "window_sync" ? "run" : "publish" }
  scheduled  = { for dataset, settings in var.datasets : dataset => settings if settings.schedule != null }
}

resource "aws_cloudwatch_metric_alarm" "machine" {
  for_each = local.machine_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "State machine ${local.machine_name[each.value.machine]}: ${each.value.metric}"
  namespace           = "AWS/States"
  metric_name         = each.value.metric
  dimensions          = { StateMachineArn = local.machine_arn[each.value.machine] }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "sla_silent" {
  count = length(local.promised_silence) > 0 ? 1 : 0

  alarm_name          = "${var.name}-sla-silent"
  alarm_description   = "Nobody looked for ${max(local.promised_silence...)} hours whether datasets are there by the time they are promised"
  namespace           = "AWS/States"
  metric_name         = "ExecutionsStarted"
  dimensions          = { StateMachineArn = local.machine_arn["sla"] }
  statistic           = "Sum"
  period              = 3600
  evaluation_periods  = max(local.promised_silence...)
  datapoints_to_alarm = max(local.promised_silence...)
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "dataset" {
  for_each = local.dataset_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions

  metric_query {
    id          = "windrow"
    expression  = each.value.query
    period      = 300
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "no_success" {
  for_each = local.scheduled

  alarm_name          = "${var.name}-${each.key}-no-success"
  alarm_description   = "No window of ${each.key} was published for ${each.value.max_silence_hours} hours"
  namespace           = local.metrics_namespace
  metric_name         = "Success"
  dimensions          = { dataset = each.key, layer = each.value.layer, stage = local.last_stage[each.key] }
  statistic           = "Sum"
  period              = 3600
  evaluation_periods  = each.value.max_silence_hours
  datapoints_to_alarm = each.value.max_silence_hours
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "stale" {
  for_each = local.scheduled

  alarm_name          = "${var.name}-${each.key}-stale"
  alarm_description   = "The newest window of ${each.key} was over ${each.value.max_freshness_hours} hours old when it was published"
  namespace           = local.metrics_namespace
  metric_name         = "FreshnessLag"
  dimensions          = { dataset = each.key, layer = each.value.layer, stage = local.last_stage[each.key] }
  statistic           = "Minimum"
  period              = 86400
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.max_freshness_hours * 3600
  # Measured when a window is published; silence is the matter of no-success.
  treat_missing_data = "ignore"
  alarm_actions      = local.alarm_actions
  ok_actions         = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "replay_waiting" {
  alarm_name          = "${var.name}-replay-waiting"
  alarm_description   = "A window has waited over 12 hours for its replay: correct its data, then start the pipe or `windrow replay`"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = "${var.name}-replay" }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 12 * 3600
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "queue_not_empty" {
  for_each = toset(["replay-dead", "schedule-dead"])

  alarm_name          = "${var.name}-${each.key}-not-empty"
  alarm_description   = "Queue ${var.name}-${each.key} holds what nobody handled"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = "${var.name}-${each.key}" }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "schedules" {
  for_each = {
    schedules-not-started = "InvocationDroppedCount"
    schedules-throttled   = "InvocationThrottleCount"
  }

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "EventBridge Scheduler, group ${var.name}: ${each.value}"
  namespace           = "AWS/Scheduler"
  metric_name         = each.value
  dimensions          = { ScheduleGroup = var.name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

# A killed task cannot say so itself; its state machine hears of it only when the heartbeat is missed.
resource "aws_cloudwatch_event_rule" "task_killed" {
  name        = "${var.name}-task-killed"
  description = "A task was killed: out of memory, or not gone 30 s after SIGTERM"

  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail = {
      clusterArn = [local.cluster_arn]
      lastStatus = ["STOPPED"]
      containers = { exitCode = [137] }
    }
  })
}

resource "aws_cloudwatch_event_target" "task_killed" {
  rule = aws_cloudwatch_event_rule.task_killed.name
  arn  = aws_sns_topic.alerts.arn

  input_transformer {
    input_paths = {
      group  = "$.detail.group"
      reason = "$.detail.stoppedReason"
      task   = "$.detail.taskArn"
    }
    input_template = "\"windrow task <group> was killed (exit code 137, most often for lack of memory): <reason>; <task>\""
  }
}
