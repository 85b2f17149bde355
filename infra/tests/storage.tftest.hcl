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

run "bucket" {
  assert {
    condition = anytrue([
      for statement in jsondecode(aws_s3_bucket_policy.lake[0].policy).Statement :
      statement.Effect == "Deny" && statement.Principal == "*" && statement.Action == "s3:PutObject" &&
      try(statement.Condition, {}) == { Null = { "s3:if-none-match" = "true" } } &&
      toset(try(tolist(statement.Resource), [])) == toset(["arn:aws:s3:::example-lake/shop/store/*/ledger/*", "arn:aws:s3:::example-lake/shop/store/*/format.json"])
    ])
    error_message = "registers can be put without If-None-Match, so they can be overwritten"
  }

  assert {
    condition = anytrue([
      for statement in jsondecode(aws_s3_bucket_policy.lake[0].policy).Statement :
      statement.Effect == "Deny" && statement.Principal == "*" && !can(statement.Condition) &&
      try(toset(statement.Action) == toset(["s3:DeleteObject", "s3:DeleteObjectVersion"]), false) &&
      contains(statement.Resource, "arn:aws:s3:::example-lake/shop/store/*/ledger/*")
    ])
    error_message = "somebody may delete from the ledger"
  }

  assert {
    condition = anytrue([
      for statement in jsondecode(aws_s3_bucket_policy.lake[0].policy).Statement :
      statement.Effect == "Deny" && try(statement.Condition.Bool["aws:SecureTransport"], "") == "false" && statement.Action == "s3:*"
    ])
    error_message = "the bucket answers plain http"
  }

  assert {
    condition = anytrue([
      for statement in jsondecode(aws_s3_bucket_policy.lake[0].policy).Statement :
      statement.Effect == "Deny" && statement.Resource == ["arn:aws:s3:::example-lake/shop/raw/*"] &&
      toset(try(statement.Condition.ArnEquals["aws:PrincipalArn"], [])) == toset(concat(
        [for verb in keys(aws_iam_role.task) : "arn:aws:iam::123456789012:role/${aws_iam_role.task[verb].name}"],
        ["arn:aws:iam::123456789012:role/${aws_iam_role.glue[0].name}"],
      ))
    ])
    error_message = "the bucket lets a role of windrow write raw/"
  }

  assert {
    condition     = output.bucket_policy == aws_s3_bucket_policy.lake[0].policy
    error_message = "the output is not what the bucket has"
  }

  assert {
    condition = (
      aws_s3_bucket_versioning.lake[0].versioning_configuration[0].status == "Enabled" &&
      aws_s3_bucket_public_access_block.lake[0].block_public_acls && aws_s3_bucket_public_access_block.lake[0].block_public_policy &&
      aws_s3_bucket_public_access_block.lake[0].ignore_public_acls && aws_s3_bucket_public_access_block.lake[0].restrict_public_buckets &&
      aws_s3_bucket_ownership_controls.lake[0].rule[0].object_ownership == "BucketOwnerEnforced" && coalesce(aws_s3_bucket.lake[0].force_destroy, false) == false
    )
    error_message = "the bucket is not versioned, is public, or can be destroyed with what it holds"
  }

  assert {
    condition = alltrue([
      for rule in aws_s3_bucket_lifecycle_configuration.lake[0].rule :
      try(rule.expiration[0].days, 0) == 0 || rule.filter[0].prefix == "shop/runs/"
    ])
    error_message = "a lifecycle rule expires something else than results of runs"
  }

  assert {
    condition = anytrue([
      for rule in aws_s3_bucket_lifecycle_configuration.lake[0].rule :
      try(rule.abort_incomplete_multipart_upload[0].days_after_initiation, 0) == 1 && rule.status == "Enabled"
    ])
    error_message = "parts of uploads that were not finished stay for ever"
  }
}

run "existing_bucket" {
  variables {
    create_bucket = false
    lake_prefix   = ""
  }

  assert {
    condition     = length(aws_s3_bucket.lake) + length(aws_s3_bucket_policy.lake) + length(aws_s3_bucket_lifecycle_configuration.lake) == 0
    error_message = "a bucket that exists is changed"
  }

  assert {
    condition     = output.lake_url == "s3://example-lake" && strcontains(output.bucket_policy, "arn:aws:s3:::example-lake/store/*/ledger/*")
    error_message = "a lake without a folder is addressed wrongly"
  }
}
