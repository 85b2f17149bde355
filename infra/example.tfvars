# An example: the orders of a shop, by day. Copy it, and put your own names in.

name   = "windrow"
region = "eu-central-1"
tags   = { owner = "data-team" }

lake_bucket = "example-windrow-lake"
lake_prefix = "shop"

vpc_id  = "vpc-0123456789abcdef0"
subnets = ["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"]
image   = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/windrow:0.1.0"

datasets = {
  # The state machine orders_daily runs orders, then store_revenue.
  orders = {
    schedule          = "cron(30 5 * * ? *)"
    timezone          = "UTC"
    state_machine     = "orders_daily"
    sla               = "cron(30 7 * * ? *)" # what schemas/orders.curated.odcs.yaml promises
    sla_timezone      = "UTC"
    max_rejected_rows = 0
  }
  # Watched; run by orders_daily.
  store_revenue = {
    sla          = "cron(30 7 * * ? *)"
    sla_timezone = "UTC"
  }
  flights = {
    schedule     = "cron(0 6 * * ? *)"
    timezone     = "America/New_York"
    sla          = "cron(30 7 * * ? *)"
    sla_timezone = "America/New_York"
    layer        = "curated"
  }
}

gc_schedule = "cron(0 3 ? * SUN *)"
gc_delete   = false

alert_email = "data-team@example.com"

# glue = {
#   launcher = "s3://example-artifacts/windrow/launch.py"
#   wheel    = "s3://example-artifacts/windrow/windrow-0.1.0-py3-none-manylinux2014_x86_64.whl"
# }

tables = {
  "curated.store_revenue" = {
    partition_column = "revenue_date"
    first_window     = "2024-09-01"
    columns = [
      { name = "store_id", type = "string" },
      { name = "store_name", type = "string" },
      { name = "tax_rate", type = "decimal(5,4)" },
      { name = "orders", type = "bigint" },
      { name = "free_orders", type = "bigint" },
      { name = "subtotal_cents", type = "bigint" },
      { name = "tax_cents", type = "bigint" },
      { name = "total_cents", type = "bigint" },
    ]
  }
}
