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

run "bucket_with_dots" {
  command         = plan
  expect_failures = [var.lake_bucket]

  variables {
    lake_bucket = "example.lake"
  }
}

run "prefix_with_a_slash" {
  command         = plan
  expect_failures = [var.lake_prefix]

  variables {
    lake_prefix = "shop/"
  }
}

run "one_subnet" {
  command         = plan
  expect_failures = [var.subnets]

  variables {
    subnets = ["subnet-0123456789abcdef0"]
  }
}

run "one_subnet_twice" {
  command         = plan
  expect_failures = [var.subnets]

  variables {
    subnets = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef0"]
  }
}

run "image_without_version" {
  command         = plan
  expect_failures = [var.image]

  variables {
    image = "example.com/windrow:latest"
  }
}

run "image_without_tag" {
  command         = plan
  expect_failures = [var.image]

  variables {
    image = "example.com/windrow"
  }
}

run "schedule_of_unix" {
  command         = plan
  expect_failures = [var.datasets]

  variables {
    datasets = { orders = { schedule = "30 5 * * *" } }
  }
}

run "unknown_zone" {
  command         = plan
  expect_failures = [var.datasets]

  variables {
    datasets = { orders = { schedule = "rate(1 day)", timezone = "New York" } }
  }
}

run "unknown_machine" {
  command         = plan
  expect_failures = [var.datasets]

  variables {
    datasets = { orders = { schedule = "rate(1 day)", state_machine = "daily" } }
  }
}

run "runner_without_second_form" {
  command         = plan
  expect_failures = [var.datasets]

  variables {
    datasets = { orders = { schedule = "rate(1 day)", runner = "glue" } }
  }
}

run "dataset_with_capitals" {
  command         = plan
  expect_failures = [var.datasets]

  variables {
    datasets = { Orders = {} }
  }
}

run "glue_of_two_units" {
  command         = plan
  expect_failures = [var.glue]

  variables {
    glue = { launcher = "s3://a/launch.py", wheel = "s3://a/windrow.whl", dpu = 2 }
  }
}

run "table_of_raw" {
  command         = plan
  expect_failures = [var.tables]

  variables {
    tables = { "raw.orders" = { columns = [{ name = "a", type = "string" }], partition_column = "day", first_window = "2024-01-01" } }
  }
}

run "logs_for_three_weeks" {
  command         = plan
  expect_failures = [var.log_retention_days]

  variables {
    log_retention_days = 21
  }
}

run "silence_of_a_month" {
  command         = plan
  expect_failures = [var.datasets]

  variables {
    datasets = { orders = { schedule = "rate(30 days)", max_silence_hours = 720 } }
  }
}
