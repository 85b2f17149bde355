# The same binary as a Python shell job, for teams without ECS, and tables for readers of the lake.

resource "aws_glue_job" "run" {
  count = var.glue == null ? 0 : 1

  name         = local.glue_job_name
  description  = "windrow run: all stages of one window"
  role_arn     = aws_iam_role.glue[0].arn
  glue_version = "3.0"
  max_capacity = var.glue.dpu
  max_retries  = 0
  timeout      = 240

  command {
    name            = "pythonshell"
    python_version  = "3.9"
    script_location = var.glue.launcher
  }

  # The state machine gives dataset, window and what else is the run's own.
  default_arguments = {
    "--additional-python-modules" = var.glue.wheel
    "--verb"                      = "run"
    "--lake"                      = local.lake_url
    "--profile"                   = var.profile
  }

  execution_property {
    max_concurrent_runs = 10
  }
}

resource "aws_glue_catalog_database" "this" {
  for_each = toset([for name in keys(var.tables) : split(".", name)[0]])

  name = replace("${var.name}_${each.key}", "-", "_")
}

locals {
  parquet_serde = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
  formats = {
    live    = { folder = "", input = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat" }
    symlink = { folder = "symlink/", input = "org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat" }
  }
}

# Athena computes the partitions from the days; a day that is not published has no object and no rows. What switches a window
# over is the one object in its folder, never the catalog.
resource "aws_glue_catalog_table" "this" {
  for_each = var.tables

  database_name = aws_glue_catalog_database.this[split(".", each.key)[0]].name
  name          = split(".", each.key)[1]
  table_type    = "EXTERNAL_TABLE"

  parameters = {
    EXTERNAL                                           = "TRUE"
    classification                                     = "parquet"
    "projection.enabled"                               = "true"
    "projection.${each.value.partition_column}.type"   = "date"
    "projection.${each.value.partition_column}.format" = "yyyy-MM-dd"
    "projection.${each.value.partition_column}.range"  = "${each.value.first_window},NOW+1DAYS"
  }

  partition_keys {
    name = each.value.partition_column
    type = "string"
  }

  storage_descriptor {
    location      = "${local.lake_url}/${local.formats[each.value.view].folder}${replace(each.key, ".", "/")}/"
    input_format  = local.formats[each.value.view].input
    output_format = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"

    ser_de_info {
      serialization_library = local.parquet_serde
    }

    dynamic "columns" {
      for_each = each.value.columns

      content {
        name = columns.value.name
        type = columns.value.type
      }
    }
  }
}
