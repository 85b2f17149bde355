mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  region      = "eu-central-1"
  lake_bucket = "example-lake"
  lake_prefix = "shop"
  vpc_id      = "vpc-0123456789abcdef0"
  subnets     = ["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"]
  image       = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/windrow:0.1.0"
  gc_schedule = "cron(0 3 ? * SUN *)"

  datasets = {
    orders        = { schedule = "cron(30 5 * * ? *)", state_machine = "orders_daily", sla = "cron(30 7 * * ? *)" }
    store_revenue = { sla = "cron(30 7 * * ? *)" }
    flights       = { schedule = "cron(0 6 * * ? *)", timezone = "America/New_York", profile = "strict" }
  }

  glue = {
    launcher = "s3://example-artifacts/windrow/launch.py"
    wheel    = "s3://example-artifacts/windrow/windrow_glue-0.1.0-py3-none-any.whl"
  }
}

run "tasks" {
  assert {
    condition = alltrue([
      for task in aws_ecs_task_definition.verb : alltrue([
        for container in jsondecode(task.container_definitions) :
        container.name == "windrow" && container.user == "65532:65532" && container.readonlyRootFilesystem && container.stopTimeout == 30 &&
        container.mountPoints[0].containerPath == "/tmp" && container.logConfiguration.logDriver == "awslogs" &&
        container.linuxParameters.capabilities.drop == ["ALL"]
      ])
    ])
    error_message = "a container is not named windrow, may write its root, runs as root, or logs nowhere"
  }

  assert {
    condition = alltrue([
      for verb, task in aws_ecs_task_definition.verb :
      task.family == "windrow-${verb}" && task.network_mode == "awsvpc" && length(jsondecode(task.container_definitions)) == 1 &&
      jsondecode(task.container_definitions)[0].command == [verb]
    ])
    error_message = "a task definition runs another verb than its name says"
  }

  assert {
    condition = alltrue([
      for task in aws_ecs_task_definition.verb : length(setsubtract(
        toset(["WINDROW_LAKE=s3://example-lake/shop", "WINDROW_METRICS=emf", "WINDROW_LINEAGE=lake", "WINDROW_PROFILE=default", "TMPDIR=/tmp"]),
        toset([for pair in jsondecode(task.container_definitions)[0].environment : "${pair.name}=${pair.value}"]),
      )) == 0
    ])
    error_message = "a task does not know its lake, or reports no metrics or lineage"
  }

  assert {
    condition     = contains([for pair in jsondecode(aws_ecs_task_definition.verb["gc"].container_definitions)[0].environment : "${pair.name}=${pair.value}"], "WINDROW_GC_DELETE=false")
    error_message = "gc deletes although nobody said so"
  }

  assert {
    condition     = alltrue([for group in concat(values(aws_cloudwatch_log_group.verb), values(aws_cloudwatch_log_group.machine)) : group.retention_in_days == 90])
    error_message = "logs are kept for ever"
  }
}

run "schedules" {
  assert {
    condition     = toset(keys(aws_scheduler_schedule.dataset)) == toset(["run-orders", "sla-orders", "sla-store_revenue", "run-flights"])
    error_message = "a dataset is not run or not looked at, or one is that should not be"
  }

  assert {
    condition = (
      aws_scheduler_schedule.dataset["run-orders"].target[0].input == "{\"dataset\":\"orders\",\"window\":\"last@<aws.scheduler.scheduled-time>\"}" &&
      aws_scheduler_schedule.dataset["run-flights"].target[0].input == "{\"dataset\":\"flights\",\"profile\":\"strict\",\"window\":\"last@<aws.scheduler.scheduled-time>\"}"
    )
    error_message = "the scheduler would not find the words it replaces by its time"
  }

  assert {
    condition     = aws_scheduler_schedule.dataset["run-flights"].schedule_expression_timezone == "America/New_York"
    error_message = "a schedule lost its time zone"
  }

  assert {
    condition = alltrue([
      for schedule in concat(values(aws_scheduler_schedule.dataset), aws_scheduler_schedule.gc) :
      length(schedule.target[0].dead_letter_config) == 1 && schedule.target[0].retry_policy[0].maximum_retry_attempts > 0
    ])
    error_message = "a start that fails is neither tried again nor kept"
  }
}

run "replay" {
  assert {
    condition     = aws_pipes_pipe.replay.desired_state == "STOPPED"
    error_message = "replay starts before anybody corrected the data"
  }

  assert {
    condition     = toset(keys(jsondecode(aws_pipes_pipe.replay.target_parameters[0].input_template))) == toset(["dataset", "window", "profile", "lake"])
    error_message = "the pipe does not hand over what a replay needs"
  }

  assert {
    condition = alltrue([
      for field in ["dataset", "window", "profile", "lake"] : alltrue([
        for message in regexall("\"MessageBody\": *\\{[^}]*\\}", "${local.definition["window"]}${local.definition["window_sync"]}") :
        strcontains(message, "\"${field}.$\"")
      ])
    ])
    error_message = "a state machine queues less than the pipe hands over"
  }

  assert {
    condition     = jsondecode(aws_sqs_queue_redrive_policy.replay.redrive_policy).deadLetterTargetArn == "arn:aws:sqs:eu-central-1:123456789012:windrow-replay-dead"
    error_message = "what cannot be replayed is lost"
  }

  assert {
    condition     = alltrue([for queue in aws_sqs_queue.this : queue.sqs_managed_sse_enabled && queue.message_retention_seconds == 1209600])
    error_message = "a queue is not encrypted, or forgets before two weeks"
  }
}

run "replay_on_request" {
  variables {
    start_replay = true
  }

  assert {
    condition     = aws_pipes_pipe.replay.desired_state == "RUNNING"
    error_message = "start_replay does not start the pipe"
  }
}

run "alarms" {
  assert {
    condition = alltrue([
      for alarm in concat(values(aws_cloudwatch_metric_alarm.no_success), aws_cloudwatch_metric_alarm.sla_silent) :
      alarm.treat_missing_data == "breaching" && alarm.period * alarm.evaluation_periods == 26 * 3600 && alarm.datapoints_to_alarm == alarm.evaluation_periods && alarm.comparison_operator == "LessThanThreshold"
    ])
    error_message = "silence is not alarmed about"
  }

  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.no_success)) == toset(["orders", "flights"]) && length(aws_cloudwatch_metric_alarm.sla_silent) == 1
    error_message = "a scheduled dataset may fall silent unnoticed"
  }

  assert {
    condition = length(setsubtract(
      toset(flatten([for machine in ["window", "orders-daily", "backfill", "replay", "sla", "window-sync"] : ["${machine}-failed", "${machine}-timed-out", "${machine}-throttled"]])),
      toset(keys(aws_cloudwatch_metric_alarm.machine)),
    )) == 0
    error_message = "a state machine may fail unnoticed"
  }

  assert {
    condition = alltrue([
      for alarm in concat(
        values(aws_cloudwatch_metric_alarm.machine), values(aws_cloudwatch_metric_alarm.dataset), values(aws_cloudwatch_metric_alarm.stale),
        values(aws_cloudwatch_metric_alarm.no_success), values(aws_cloudwatch_metric_alarm.queue_not_empty),
        values(aws_cloudwatch_metric_alarm.schedules), aws_cloudwatch_metric_alarm.sla_silent, [aws_cloudwatch_metric_alarm.replay_waiting],
      ) : alarm.alarm_actions == toset([aws_sns_topic.alerts.arn])
    ])
    error_message = "an alarm tells nobody"
  }

  assert {
    condition = alltrue(flatten([
      for dataset in ["orders", "store_revenue", "flights"] : [
        for alarm in ["publish-failed", "raw-to-clean-failed", "check-failed", "quality-failed", "rows-rejected"] :
        strcontains(one(aws_cloudwatch_metric_alarm.dataset["${dataset}-${alarm}"].metric_query).expression, "dataset = '${dataset}'")
      ]
    ]))
    error_message = "a dataset's failures, quality or rejected rows are not watched"
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.task_killed.event_pattern).detail.containers.exitCode == [137]
    error_message = "a killed task goes unnoticed"
  }

  assert {
    condition     = strcontains(aws_sns_topic_policy.alerts.policy, "cloudwatch.amazonaws.com") && strcontains(aws_sns_topic_policy.alerts.policy, "events.amazonaws.com") && strcontains(aws_kms_key.alerts.policy, "cloudwatch.amazonaws.com") && strcontains(aws_kms_key.alerts.policy, "events.amazonaws.com")
    error_message = "alarms or rules cannot reach the topic"
  }
}
