# Roles of tasks: one per verb, with exactly what the verb reads, writes and deletes. Nobody writes raw/, and only gc deletes
# what is stored. Allow is narrow; Deny says the same again, so that a policy added later does not widen it.

locals {
  write_actions = ["s3:PutObject*", "s3:DeleteObject*", "s3:AbortMultipartUpload"]

  views = ["clean/*", "curated/*", "symlink/*"]
  # Also offered by verbs that make no table: a second create of it proves that the store refuses one.
  format = "store/*/format.json"

  # Keys below the lake; `*` also stands for slashes. Everybody reads and writes runs/, where results and lineage are.
  lake_rights = {
    check-input = { read = ["raw/*"], write = [], delete = [] }
    raw-to-clean = {
      read   = ["raw/*", "store/*", "quarantine/clean/*"]
      write  = ["store/clean/*/format.json", "store/clean/*/ledger/*", "store/clean/*/data/*", "quarantine/clean/*"]
      delete = []
    }
    clean-to-curated = {
      read   = ["store/*", "quarantine/curated/*"]
      write  = ["store/curated/*/format.json", "store/curated/*/ledger/*", "store/curated/*/data/*", "quarantine/curated/*"]
      delete = []
    }
    check = {
      read   = ["store/*"]
      write  = [local.format, "store/*/ledger/*.check.json"]
      delete = []
    }
    publish = {
      read   = concat(["store/*", "quarantine/*"], local.views)
      write  = concat([local.format, "store/*/ledger/*.check.json", "store/*/ledger/*.outcome.json", "quarantine/*"], local.views)
      delete = local.views
    }
    quarantine = {
      read   = ["store/*", "quarantine/*"]
      write  = [local.format, "store/*/ledger/*.check.json", "store/*/ledger/*.outcome.json", "quarantine/*"]
      delete = []
    }
    plan = { read = ["raw/*", "store/*"], write = [], delete = [] }
    sla  = { read = ["store/*"], write = [], delete = [] }
    run = {
      read   = concat(["raw/*", "store/*", "quarantine/*"], local.views)
      write  = concat([local.format, "store/*/ledger/*", "store/*/data/*", "quarantine/*"], local.views)
      delete = local.views
    }
    gc = {
      read   = concat(["store/*", "quarantine/*"], local.views)
      write  = [local.format, "store/*/ledger/*.outcome.json", "store/tmp/*"]
      delete = ["store/*/data/*", "store/tmp/*", "quarantine/*"]
    }
  }

  # The verbs a state machine waits for.
  reporting = toset(["check-input", "raw-to-clean", "clean-to-curated", "check", "publish", "quarantine", "plan", "sla"])

  lake_statements = {
    for verb, rights in local.lake_rights : verb => concat(
      [
        # Not narrowed by s3:prefix: S3 would answer 403 instead of 404 to a key that is not there, and windrow asks for such keys.
        { Sid = "ListLake", Effect = "Allow", Action = ["s3:ListBucket"], Resource = [local.bucket_arn] },
        {
          Sid      = "ReadLake"
          Effect   = "Allow"
          Action   = ["s3:GetObject"]
          Resource = [for key in concat(rights.read, ["runs/*"]) : "${local.lake_arn}${key}"]
        },
        {
          Sid      = "WriteLake"
          Effect   = "Allow"
          Action   = ["s3:PutObject", "s3:AbortMultipartUpload"]
          Resource = [for key in concat(rights.write, ["runs/*"]) : "${local.lake_arn}${key}"]
        },
        {
          Sid      = "DenyWritingRaw"
          Effect   = "Deny"
          Action   = local.write_actions
          Resource = ["${local.lake_arn}raw/*"]
        },
        {
          Sid      = "DenyDeletingVersions"
          Effect   = "Deny"
          Action   = ["s3:DeleteObjectVersion"]
          Resource = ["*"]
        },
        merge(
          { Sid = "DenyDeleting", Effect = "Deny", Action = ["s3:DeleteObject"] },
          length(rights.delete) == 0 ? { Resource = ["*"] } : { NotResource = [for key in rights.delete : "${local.lake_arn}${key}"] },
        ),
      ],
      [
        for keys in [rights.delete] : {
          Sid      = "Delete"
          Effect   = "Allow"
          Action   = ["s3:DeleteObject"]
          Resource = [for key in keys : "${local.lake_arn}${key}"]
        } if length(keys) > 0
      ],
      [
        for key_arn in compact([var.lake_kms_key_arn]) : {
          Sid      = "UseLakeKey"
          Effect   = "Allow"
          Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
          Resource = [key_arn]
        }
      ],
    )
  }

  task_policy = {
    for verb in keys(local.verbs) : verb => {
      Version = "2012-10-17"
      Statement = concat(
        local.lake_statements[verb],
        [
          for arns in [values(local.machine_arn)] : {
            Sid      = "ReportToStepFunctions"
            Effect   = "Allow"
            Action   = ["states:SendTaskSuccess", "states:SendTaskFailure", "states:SendTaskHeartbeat"]
            Resource = sort(arns)
          } if contains(local.reporting, verb)
        ],
        [
          # windrow replay --from-queue, started by hand with the task definition of run.
          for arn in [local.queue_arn["replay"]] : {
            Sid      = "TakeFromReplayQueue"
            Effect   = "Allow"
            Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"]
            Resource = [arn]
          } if verb == "run"
        ],
      )
    }
  }
}

resource "aws_iam_role" "task" {
  for_each = local.verbs

  name        = "${var.name}-task-${each.key}"
  description = "windrow ${each.key}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:ecs:${var.region}:${local.account}:*" }
      }
    }]
  })
}

resource "aws_iam_role_policy" "task" {
  for_each = local.verbs

  name   = each.key
  role   = aws_iam_role.task[each.key].id
  policy = jsonencode(local.task_policy[each.key])
}

# The Glue job runs all stages of a window, so it has the rights of `run`, and reads its own program.

locals {
  glue_role_arn = "arn:${local.partition}:iam::${local.account}:role/${var.name}-glue"
  glue_program  = var.glue == null ? [] : [for url in [var.glue.launcher, var.glue.wheel] : "arn:${local.partition}:s3:::${trimprefix(url, "s3://")}"]

  glue_policy = {
    Version = "2012-10-17"
    Statement = concat(
      local.lake_statements["run"],
      [
        { Sid = "ReadProgram", Effect = "Allow", Action = ["s3:GetObject"], Resource = local.glue_program },
        {
          Sid      = "WriteLogs"
          Effect   = "Allow"
          Action   = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = ["arn:${local.partition}:logs:${var.region}:${local.account}:log-group:/aws-glue/*"]
        },
      ],
    )
  }
}

resource "aws_iam_role" "glue" {
  count = var.glue == null ? 0 : 1

  name        = "${var.name}-glue"
  description = "windrow run in Glue"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "glue.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "glue" {
  count = var.glue == null ? 0 : 1

  name   = "run"
  role   = aws_iam_role.glue[0].id
  policy = jsonencode(local.glue_policy)
}
