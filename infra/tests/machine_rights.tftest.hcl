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

# What each role may do, compared with what its definition says, not with the local it was made of.
run "rights_of_state_machines" {
  assert {
    condition = alltrue([
      for machine, policy in aws_iam_role_policy.machine :
      toset(flatten([for statement in jsondecode(policy.policy).Statement : statement.Resource if contains(statement.Action, "ecs:RunTask")])) ==
      toset([
        for family in flatten(regexall("\"TaskDefinition\": *\"([^\"]*)\"", aws_sfn_state_machine.this[machine].definition)) :
        "arn:aws:ecs:eu-central-1:123456789012:task-definition/${family}:*"
      ])
    ])
    error_message = "a state machine may start other tasks than its definition names"
  }

  assert {
    condition = alltrue([
      for machine, policy in aws_iam_role_policy.machine : alltrue([
        for statement in jsondecode(policy.policy).Statement :
        try(statement.Condition.ArnEquals["ecs:cluster"], "") == "arn:aws:ecs:eu-central-1:123456789012:cluster/windrow"
        if contains(statement.Action, "ecs:RunTask") || contains(statement.Action, "ecs:StopTask")
      ])
    ])
    error_message = "a state machine may use another cluster"
  }

  assert {
    condition = alltrue([
      for machine, policy in aws_iam_role_policy.machine :
      toset(flatten([for statement in jsondecode(policy.policy).Statement : statement.Resource if contains(statement.Action, "iam:PassRole")])) ==
      toset(flatten([
        for family in toset(flatten(regexall("\"TaskDefinition\": *\"([^\"]*)\"", aws_sfn_state_machine.this[machine].definition))) : [
          "arn:aws:iam::123456789012:role/${replace(family, "windrow-", "windrow-task-")}",
          "arn:aws:iam::123456789012:role/windrow-execution",
        ]
      ]))
    ])
    error_message = "a state machine may pass other roles than those of its tasks"
  }

  assert {
    condition = alltrue(flatten([
      for policy in concat(values(aws_iam_role_policy.machine), values(aws_iam_role_policy.service)) : [
        for statement in jsondecode(policy.policy).Statement :
        try(statement.Condition.StringEquals["iam:PassedToService"], "") == "ecs-tasks.amazonaws.com"
        if contains(statement.Action, "iam:PassRole")
      ]
    ]))
    error_message = "a role may pass roles to another service than ECS"
  }

  assert {
    condition = {
      for machine, policy in aws_iam_role_policy.machine :
      machine => toset(flatten([for statement in jsondecode(policy.policy).Statement : statement.Resource if contains(statement.Action, "sns:Publish")]))
      } == {
      for machine in ["window", "orders_daily", "backfill", "replay", "sla", "window_sync"] :
      machine => toset([for arn in ["arn:aws:sns:eu-central-1:123456789012:windrow-alerts"] : arn if strcontains(aws_sfn_state_machine.this[machine].definition, ":::sns:publish")])
    }
    error_message = "a state machine publishes to the one topic exactly when its definition does"
  }

  assert {
    condition = {
      for machine, policy in aws_iam_role_policy.machine :
      machine => toset(flatten([for statement in jsondecode(policy.policy).Statement : statement.Resource if contains(statement.Action, "sqs:SendMessage")]))
      } == {
      for machine in ["window", "orders_daily", "backfill", "replay", "sla", "window_sync"] :
      machine => toset([for arn in ["arn:aws:sqs:eu-central-1:123456789012:windrow-replay"] : arn if strcontains(aws_sfn_state_machine.this[machine].definition, ":::sqs:sendMessage")])
    }
    error_message = "a state machine sends to the one queue exactly when its definition does"
  }

  assert {
    condition = alltrue([
      for machine, policy in aws_iam_role_policy.machine :
      toset(flatten([for statement in jsondecode(policy.policy).Statement : statement.Resource if contains(statement.Action, "states:StartExecution")])) ==
      toset(concat(
        flatten(regexall("\"StateMachineArn\": *\"([^\"]*)\"", aws_sfn_state_machine.this[machine].definition)),
        [for own in ["arn:aws:states:eu-central-1:123456789012:stateMachine:windrow-${machine}"] : own if strcontains(aws_sfn_state_machine.this[machine].definition, "\"DISTRIBUTED\"")],
      ))
    ])
    error_message = "a state machine may start others than its definition does"
  }

  assert {
    condition = {
      for machine, policy in aws_iam_role_policy.machine : machine => toset(flatten([
        for statement in jsondecode(policy.policy).Statement : statement.Resource
        if anytrue([for action in statement.Action : startswith(action, "s3:") || startswith(action, "glue:")])
      ]))
      } == {
      window       = toset([])
      orders_daily = toset([])
      backfill     = toset([])
      replay       = toset([])
      sla          = toset([])
      window_sync  = toset(["arn:aws:s3:::example-lake/shop/runs/sync/*", "arn:aws:glue:eu-central-1:123456789012:job/windrow-run"])
    }
    error_message = "only the second form reads results and runs a Glue job"
  }

  # Rules that the .sync integrations need; named by AWS.
  assert {
    condition = {
      for machine, policy in aws_iam_role_policy.machine : machine => toset(flatten([
        for statement in jsondecode(policy.policy).Statement : [for resource in statement.Resource : reverse(split("/", resource))[0]]
        if contains(statement.Action, "events:PutRule")
      ]))
      } == {
      window       = toset([])
      orders_daily = toset(["StepFunctionsGetEventsForStepFunctionsExecutionRule"])
      backfill     = toset(["StepFunctionsGetEventsForStepFunctionsExecutionRule"])
      replay       = toset(["StepFunctionsGetEventsForStepFunctionsExecutionRule"])
      sla          = toset([])
      window_sync  = toset(["StepFunctionsGetEventsForECSTaskRule"])
    }
    error_message = "a state machine that waits lacks its rule, or another one has it"
  }

  assert {
    condition = toset(flatten([
      for policy in concat(values(aws_iam_role_policy.machine), values(aws_iam_role_policy.service)) : [
        for statement in jsondecode(policy.policy).Statement : [for action in statement.Action : split(":", action)[0]]
        if contains(statement.Resource, "*")
      ]
    ])) == toset(["logs", "xray", "ecr"])
    error_message = "a role has rights on everything beyond log delivery, tracing and signing in to ECR"
  }

  assert {
    condition = alltrue(flatten([
      for policy in concat(values(aws_iam_role_policy.machine), values(aws_iam_role_policy.service), values(aws_iam_role_policy.task), aws_iam_role_policy.glue) : [
        for statement in jsondecode(policy.policy).Statement : [for action in statement.Action : !strcontains(action, "*")]
        if statement.Effect == "Allow"
      ]
    ]))
    error_message = "an allowed action has a wildcard"
  }

  # AWS refuses a role's inline policy over 10,240 characters, and a statement about nothing.
  assert {
    condition = alltrue([
      for policy in concat(values(aws_iam_role_policy.machine), values(aws_iam_role_policy.service), values(aws_iam_role_policy.task), aws_iam_role_policy.glue) :
      length(policy.policy) < 10240 && alltrue([
        for statement in jsondecode(policy.policy).Statement : length(try(statement.Resource, statement.NotResource)) > 0 && length(statement.Action) > 0
      ])
    ])
    error_message = "a policy is too long, or has an empty statement"
  }

  assert {
    condition = (
      strcontains(aws_iam_role_policy.service["pipe"].policy, "stateMachine:windrow-replay\"") &&
      !strcontains(aws_iam_role_policy.service["pipe"].policy, "s3:") && !strcontains(aws_iam_role_policy.service["pipe"].policy, "sqs:SendMessage")
    )
    error_message = "the pipe takes from the queue and starts the replay, and nothing else"
  }
}
