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

run "rights_of_tasks" {
  assert {
    condition     = toset(keys(aws_iam_role_policy.task)) == toset(keys(aws_ecs_task_definition.verb))
    error_message = "every verb has a role of its own"
  }

  assert {
    condition = toset(flatten([
      for policy in concat(values(aws_iam_role_policy.task), aws_iam_role_policy.glue) : [
        for statement in jsondecode(policy.policy).Statement : statement.Action
        if statement.Effect == "Allow" && anytrue([for action in statement.Action : startswith(action, "s3:") || action == "*"])
      ]
    ])) == toset(["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject"])
    error_message = "a task may do more on S3 than list, read, put, abort its upload and delete"
  }

  # What may be written is listed; raw/ is not among it, and nothing wider is.
  assert {
    condition = alltrue(flatten([
      for policy in concat(values(aws_iam_role_policy.task), aws_iam_role_policy.glue) : [
        for statement in jsondecode(policy.policy).Statement : [
          for resource in statement.Resource :
          can(regex("^arn:aws:s3:::example-lake/shop/(store|quarantine|clean|curated|symlink|runs)/", resource))
        ]
        if statement.Effect == "Allow" && anytrue([for action in statement.Action : contains(["s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject"], action)])
      ]
    ]))
    error_message = "a role may write or delete outside the folders windrow writes"
  }

  assert {
    condition = alltrue([
      for policy in concat(values(aws_iam_role_policy.task), aws_iam_role_policy.glue) : anytrue([
        for statement in jsondecode(policy.policy).Statement :
        statement.Effect == "Deny" && try(statement.Resource, []) == ["arn:aws:s3:::example-lake/shop/raw/*"] &&
        toset(statement.Action) == toset(["s3:PutObject*", "s3:DeleteObject*", "s3:AbortMultipartUpload"])
      ])
    ])
    error_message = "a role is not denied to write raw/"
  }

  # Exactly who deletes what.
  assert {
    condition = {
      for verb, policy in aws_iam_role_policy.task : verb => toset(flatten([
        for statement in jsondecode(policy.policy).Statement : [
          for resource in statement.Resource : trimprefix(resource, "arn:aws:s3:::example-lake/shop/")
        ]
        if statement.Effect == "Allow" && contains(statement.Action, "s3:DeleteObject")
      ]))
      } == {
      check-input      = toset([])
      raw-to-clean     = toset([])
      clean-to-curated = toset([])
      check            = toset([])
      publish          = toset(["clean/*", "curated/*", "symlink/*"])
      quarantine       = toset([])
      plan             = toset([])
      sla              = toset([])
      run              = toset(["clean/*", "curated/*", "symlink/*"])
      gc               = toset(["store/*/data/*", "store/tmp/*", "quarantine/*"])
    }
    error_message = "jobs delete nothing but views, and gc deletes exactly what is garbage"
  }

  assert {
    condition = alltrue([
      for policy in concat(values(aws_iam_role_policy.task), aws_iam_role_policy.glue) : length([
        for statement in jsondecode(policy.policy).Statement : statement
        if statement.Effect == "Deny" && (
          (contains(statement.Action, "s3:DeleteObjectVersion") && try(statement.Resource, []) == ["*"]) ||
          (contains(statement.Action, "s3:DeleteObject") && (try(statement.Resource, []) == ["*"] || can(statement.NotResource)))
        )
      ]) == 2
    ])
    error_message = "a role is not denied to delete what it has no business deleting"
  }

  assert {
    condition = alltrue([
      for verb in ["check-input", "raw-to-clean", "clean-to-curated", "check", "quarantine", "plan", "sla"] : anytrue([
        for statement in jsondecode(aws_iam_role_policy.task[verb].policy).Statement :
        statement.Effect == "Deny" && statement.Action == ["s3:DeleteObject"] && try(statement.Resource, []) == ["*"]
      ])
    ])
    error_message = "a job role is not denied to delete anything"
  }

  # Exactly who writes what, beside runs/.
  assert {
    condition = {
      for verb, policy in aws_iam_role_policy.task : verb => toset(flatten([
        for statement in jsondecode(policy.policy).Statement : [
          for resource in statement.Resource : trimprefix(resource, "arn:aws:s3:::example-lake/shop/")
        ]
        if statement.Effect == "Allow" && contains(statement.Action, "s3:PutObject")
      ]))
      } == {
      check-input      = toset(["runs/*"])
      raw-to-clean     = toset(["runs/*", "store/clean/*/format.json", "store/clean/*/ledger/*", "store/clean/*/data/*", "quarantine/clean/*"])
      clean-to-curated = toset(["runs/*", "store/curated/*/format.json", "store/curated/*/ledger/*", "store/curated/*/data/*", "quarantine/curated/*"])
      check            = toset(["runs/*", "store/*/format.json", "store/*/ledger/*.check.json"])
      publish          = toset(["runs/*", "store/*/format.json", "store/*/ledger/*.check.json", "store/*/ledger/*.outcome.json", "quarantine/*", "clean/*", "curated/*", "symlink/*"])
      quarantine       = toset(["runs/*", "store/*/format.json", "store/*/ledger/*.check.json", "store/*/ledger/*.outcome.json", "quarantine/*"])
      plan             = toset(["runs/*"])
      sla              = toset(["runs/*"])
      run              = toset(["runs/*", "store/*/format.json", "store/*/ledger/*", "store/*/data/*", "quarantine/*", "clean/*", "curated/*", "symlink/*"])
      gc               = toset(["runs/*", "store/*/format.json", "store/*/ledger/*.outcome.json", "store/tmp/*"])
    }
    error_message = "a verb may write something else than it writes"
  }

  # S3 answers 403 instead of 404 to a key that is not there, unless the bucket can be listed without a condition.
  assert {
    condition = alltrue([
      for policy in concat(values(aws_iam_role_policy.task), aws_iam_role_policy.glue) : anytrue([
        for statement in jsondecode(policy.policy).Statement :
        statement.Effect == "Allow" && statement.Action == ["s3:ListBucket"] && !can(statement.Condition) &&
        try(statement.Resource, []) == ["arn:aws:s3:::example-lake"]
      ])
    ])
    error_message = "a role cannot list the lake, or not tell a missing key from a forbidden one"
  }

  assert {
    condition = toset([
      for verb, policy in aws_iam_role_policy.task : verb
      if strcontains(policy.policy, "states:SendTaskSuccess")
    ]) == toset(["check-input", "raw-to-clean", "clean-to-curated", "check", "publish", "quarantine", "plan", "sla"])
    error_message = "the verbs that report are those that state machines wait for"
  }

  assert {
    condition     = toset([for verb, policy in aws_iam_role_policy.task : verb if strcontains(policy.policy, "sqs:")]) == toset(["run"])
    error_message = "only `windrow replay` takes from the queue"
  }
}
