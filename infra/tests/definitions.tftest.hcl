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

run "state_machines" {
  assert {
    condition     = toset(keys(aws_sfn_state_machine.this)) == toset([for file in fileset("${path.module}/../orchestrations", "*_state_machine.json") : trimsuffix(file, "_state_machine.json")])
    error_message = "every file of orchestrations/ is deployed, and nothing else"
  }

  assert {
    condition     = alltrue([for machine in aws_sfn_state_machine.this : can(jsondecode(machine.definition).StartAt)])
    error_message = "a rendered definition is no JSON"
  }

  assert {
    condition     = alltrue([for machine in aws_sfn_state_machine.this : !strcontains(machine.definition, "$${")])
    error_message = "a placeholder is left over"
  }

  assert {
    condition = alltrue([
      for machine, rights in local.machine_rights :
      toset([for verb in rights.tasks : "windrow-${verb}"]) ==
      toset(flatten(regexall("\"TaskDefinition(?:\\.\\$)?\": *\"([^\"]*)\"", aws_sfn_state_machine.this[machine].definition)))
    ])
    error_message = "a definition names task definitions that machine_rights does not, or the other way round"
  }

  assert {
    condition = alltrue([
      for machine in ["window", "backfill", "sla", "window_sync"] :
      length(regexall("\"Name\": *\"windrow\"", aws_sfn_state_machine.this[machine].definition)) ==
      length(regexall("\"TaskDefinition\"", aws_sfn_state_machine.this[machine].definition))
    ])
    error_message = "a task overrides another container than windrow"
  }

  assert {
    condition = alltrue([
      for machine, rights in local.machine_rights :
      toset([for started in rights.starts : "arn:aws:states:eu-central-1:123456789012:stateMachine:windrow-${started}"]) ==
      toset(flatten(regexall("\"StateMachineArn(?:\\.\\$)?\": *\"([^\"]*)\"", aws_sfn_state_machine.this[machine].definition)))
    ])
    error_message = "a definition starts other state machines than machine_rights says"
  }

  assert {
    condition = alltrue([
      for machine, rights in local.machine_rights :
      toset([for arn in ["arn:aws:sns:eu-central-1:123456789012:windrow-alerts"] : arn if rights.alerts]) ==
      toset(flatten(regexall("\"TopicArn(?:\\.\\$)?\": *\"([^\"]*)\"", aws_sfn_state_machine.this[machine].definition)))
    ])
    error_message = "a definition publishes to another topic than machine_rights says"
  }

  assert {
    condition = alltrue([
      for machine, rights in local.machine_rights :
      toset([for url in ["https://sqs.eu-central-1.amazonaws.com/123456789012/windrow-replay"] : url if rights.queues]) ==
      toset(flatten(regexall("\"QueueUrl(?:\\.\\$)?\": *\"([^\"]*)\"", aws_sfn_state_machine.this[machine].definition)))
    ])
    error_message = "a definition sends to another queue than machine_rights says"
  }

  assert {
    condition = alltrue([
      for machine, rights in local.machine_rights :
      rights.waits == (length(regexall("(runTask|startJobRun)\\.sync\"", aws_sfn_state_machine.this[machine].definition)) > 0) &&
      rights.fans_out == strcontains(aws_sfn_state_machine.this[machine].definition, "\"DISTRIBUTED\"")
    ])
    error_message = "a definition waits or fans out where machine_rights says it does not, or the other way round"
  }

  assert {
    condition = alltrue([
      for machine in aws_sfn_state_machine.this :
      toset(flatten(regexall("\"Resource\": *\"([^\"]*)\"", machine.definition))) == setintersection(
        toset(flatten(regexall("\"Resource\": *\"([^\"]*)\"", machine.definition))),
        toset([
          "arn:aws:states:::ecs:runTask.waitForTaskToken", "arn:aws:states:::ecs:runTask.sync", "arn:aws:states:::glue:startJobRun.sync",
          "arn:aws:states:::states:startExecution.sync:2", "arn:aws:states:::sns:publish", "arn:aws:states:::sqs:sendMessage",
          "arn:aws:states:::aws-sdk:s3:getObject",
        ]),
      )
    ])
    error_message = "a definition calls a service that no role here has rights for"
  }

  assert {
    condition     = strcontains(aws_sfn_state_machine.this["window_sync"].definition, "s3://example-lake/shop/runs/sync/")
    error_message = "the second form reads its results elsewhere than below runs/"
  }

  assert {
    condition = alltrue([
      for machine in aws_sfn_state_machine.this :
      machine.type == "STANDARD" && machine.tracing_configuration[0].enabled &&
      machine.logging_configuration[0].level == "ALL" && !machine.logging_configuration[0].include_execution_data
    ])
    error_message = "every execution is logged and traced, and no log holds data, because task tokens are data"
  }
}
