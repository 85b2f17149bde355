variable "name" {
  description = "First part of every resource's name, so that several deployments fit into one account."
  type        = string
  default     = "windrow"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,19}$", var.name))
    error_message = "name is 2 to 20 lowercase letters, digits and hyphens, and begins with a letter."
  }
}

variable "region" {
  description = "AWS region of everything here."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region is an AWS region such as eu-central-1."
  }
}

variable "tags" {
  description = "Tags of every resource, beside project and deployment."
  type        = map(string)
  default     = {}
}

# The lake.

variable "lake_bucket" {
  description = "Bucket of the lake."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.lake_bucket))
    error_message = "lake_bucket is a bucket name of lowercase letters, digits and hyphens, without dots."
  }
}

variable "lake_prefix" {
  description = "Folder of the lake in the bucket, without slashes at its ends; empty for the whole bucket."
  type        = string
  default     = ""

  validation {
    condition     = var.lake_prefix == "" || can(regex("^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", var.lake_prefix))
    error_message = "lake_prefix is folder names joined by single slashes, without a slash at either end."
  }
}

variable "create_bucket" {
  description = "Create the bucket. With false the bucket exists and keeps its policy and lifecycle: add the output bucket_policy to it."
  type        = bool
  default     = true
}

variable "lake_kms_key_arn" {
  description = "KMS key that encrypts the bucket; null for keys that S3 manages."
  type        = string
  default     = null

  validation {
    condition     = var.lake_kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.lake_kms_key_arn))
    error_message = "lake_kms_key_arn is the ARN of a key, not of an alias."
  }
}

variable "runs_retention_days" {
  description = "How long results and lineage of runs stay below runs/."
  type        = number
  default     = 180

  validation {
    condition     = var.runs_retention_days >= 7
    error_message = "runs_retention_days is at least 7: the second form of the state machine reads results from there."
  }
}

variable "noncurrent_retention_days" {
  description = "How long overwritten and deleted objects can be brought back."
  type        = number
  default     = 30

  validation {
    condition     = var.noncurrent_retention_days >= 1
    error_message = "noncurrent_retention_days is at least 1."
  }
}

# Where tasks run.

variable "vpc_id" {
  description = "VPC of the tasks."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id is the id of a VPC such as vpc-0123456789abcdef0."
  }
}

variable "subnets" {
  description = "Two subnets of the VPC, in two zones, that reach S3, Step Functions, ECR, CloudWatch Logs and SQS."
  type        = list(string)

  validation {
    condition = (
      length(var.subnets) == 2 &&
      length(distinct(var.subnets)) == length(var.subnets) &&
      alltrue([for subnet in var.subnets : can(regex("^subnet-[0-9a-f]+$", subnet))])
    )
    error_message = "subnets is two different subnet ids: the state machines name two, and RunTask refuses one named twice."
  }
}

variable "image" {
  description = "Image of windrow, with a tag or, better, a digest."
  type        = string

  validation {
    condition     = can(regex("^[^\\s:@]+(:[0-9]+)?/[^\\s:@]+(:[A-Za-z0-9_.-]+|@sha256:[0-9a-f]{64})$", var.image))
    error_message = "image is registry/repository:tag or registry/repository@sha256:digest."
  }

  validation {
    condition     = !endswith(var.image, ":latest")
    error_message = "image names a version: with latest nobody can tell which code made a window."
  }
}

variable "cpu_architecture" {
  description = "Architecture the image was built for."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "cpu_architecture is X86_64 or ARM64."
  }
}

variable "capacity_provider" {
  description = "FARGATE, or FARGATE_SPOT: cheaper, and a task that is taken away is run again."
  type        = string
  default     = "FARGATE"

  validation {
    condition     = contains(["FARGATE", "FARGATE_SPOT"], var.capacity_provider)
    error_message = "capacity_provider is FARGATE or FARGATE_SPOT."
  }
}

variable "scratch_gib" {
  description = "Disk of a task in GiB; temporary copies of inputs on S3 must fit. 20 cost nothing."
  type        = number
  default     = 20

  validation {
    condition     = var.scratch_gib >= 20 && var.scratch_gib <= 200 && floor(var.scratch_gib) == var.scratch_gib
    error_message = "scratch_gib is a whole number from 20 to 200."
  }
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 90

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days is a number of days that CloudWatch Logs offers, such as 30, 90 or 365."
  }
}

variable "log_kms_key_arn" {
  description = "KMS key that encrypts log groups; its policy must admit CloudWatch Logs. Null for keys that CloudWatch manages."
  type        = string
  default     = null
}

# What is run when.

variable "profile" {
  description = "Quality profile of runs that name none: quality/profiles/<profile>.yaml."
  type        = string
  default     = "default"

  validation {
    condition     = can(regex("^[a-z][a-z0-9_-]{0,62}$", var.profile))
    error_message = "profile is the name of a file in quality/profiles."
  }
}

variable "datasets" {
  description = <<-TEXT
    Datasets by name. schedule and sla are cron(...) or rate(...) of EventBridge Scheduler in their time zones; without a
    schedule a dataset is only watched. state_machine is `window`, `window_sync` for the second form with its runner `ecs` or
    `glue`, or `orders_daily` for orders with what is computed from it. max_silence_hours, at most 168, is how long nothing may
    succeed: over a day by default, so that a run that is a little later than yesterday's is no alarm.
  TEXT
  type = map(object({
    schedule            = optional(string)
    timezone            = optional(string, "UTC")
    state_machine       = optional(string, "window")
    runner              = optional(string)
    profile             = optional(string)
    layer               = optional(string, "curated")
    sla                 = optional(string)
    sla_timezone        = optional(string, "UTC")
    max_freshness_hours = optional(number, 36)
    max_silence_hours   = optional(number, 26)
    max_rejected_rows   = optional(number, 0)
  }))

  validation {
    condition     = alltrue([for name in keys(var.datasets) : can(regex("^[a-z][a-z0-9_]{0,59}$", name))])
    error_message = "a dataset's name is up to 60 lowercase letters, digits and underscores, and begins with a letter."
  }

  validation {
    condition = alltrue([
      for at in compact(flatten([for dataset in var.datasets : [dataset.schedule, dataset.sla]])) :
      can(regex("^(cron\\(\\S+ \\S+ \\S+ \\S+ \\S+ \\S+\\)|rate\\([1-9][0-9]* (minute|hour|day)s?\\))$", at))
    ])
    error_message = "schedule and sla are cron(minutes hours day month weekday year) or rate(number unit)."
  }

  validation {
    condition = alltrue([
      for zone in flatten([for dataset in var.datasets : [dataset.timezone, dataset.sla_timezone]]) :
      can(regex("^(UTC|[A-Z][A-Za-z_]+(/[A-Z][A-Za-z_+-]+[0-9]*)+)$", zone))
    ])
    error_message = "timezone and sla_timezone are UTC or a name such as Europe/Berlin."
  }

  validation {
    condition     = alltrue([for dataset in var.datasets : contains(["window", "window_sync", "orders_daily"], dataset.state_machine)])
    error_message = "state_machine is window, window_sync or orders_daily."
  }

  validation {
    condition = alltrue([
      for dataset in var.datasets :
      dataset.runner == null || (dataset.state_machine == "window_sync" && contains(["ecs", "glue"], coalesce(dataset.runner, "-")))
    ])
    error_message = "runner is ecs or glue, and only window_sync has one."
  }

  validation {
    condition     = alltrue([for dataset in var.datasets : contains(["clean", "curated"], dataset.layer)])
    error_message = "layer is clean or curated: the last layer of the dataset."
  }

  validation {
    condition     = alltrue([for dataset in var.datasets : dataset.max_freshness_hours > 0 && dataset.max_rejected_rows >= 0])
    error_message = "max_freshness_hours is over 0 and max_rejected_rows is not negative."
  }

  # An alarm looks back seven days at most.
  validation {
    condition     = alltrue([for dataset in var.datasets : contains(range(1, 169), dataset.max_silence_hours)])
    error_message = "max_silence_hours is a whole number from 1 to 168."
  }
}

variable "gc_schedule" {
  description = "When garbage is collected, cron(...) or rate(...) in UTC; null never."
  type        = string
  default     = null
}

variable "gc_delete" {
  description = "Delete garbage. With false the scheduled task only logs what it would delete."
  type        = bool
  default     = false
}

variable "start_replay" {
  description = "Replay what stands in the queue. Stopped, messages wait: data that nobody corrected only fails again."
  type        = bool
  default     = false
}

variable "alert_email" {
  description = "Who gets alerts; must confirm a mail from AWS. Null: subscribe to the topic in another way."
  type        = string
  default     = null

  validation {
    condition     = var.alert_email == null || can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", var.alert_email))
    error_message = "alert_email is an address such as data-team@example.com."
  }
}

# Glue: the second form of the state machine, and tables for readers.

variable "glue" {
  description = "The Python shell job: S3 addresses of glue/launch.py and of the wheel, and its size in DPU. Null: no job."
  type = object({
    launcher = string
    wheel    = string
    dpu      = optional(number, 1)
  })
  default = null

  validation {
    condition = var.glue == null || alltrue([
      can(regex("^s3://[a-z0-9-]+/.+\\.py$", var.glue.launcher)),
      can(regex("^s3://[a-z0-9-]+/.+\\.whl$", var.glue.wheel)),
      contains([0.0625, 1], var.glue.dpu),
    ])
    error_message = "glue has launcher = s3://bucket/….py, wheel = s3://bucket/….whl, and dpu = 0.0625 or 1."
  }
}

variable "tables" {
  description = "Tables of the Glue catalog, `layer.dataset` => columns in the order of the file, without the partition column. view is live or symlink, as windrow.toml lists."
  type = map(object({
    columns          = list(object({ name = string, type = string }))
    partition_column = string
    first_window     = string
    view             = optional(string, "live")
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.tables) : can(regex("^(clean|curated)\\.[a-z][a-z0-9_]{0,62}$", name))])
    error_message = "a table is named clean.<dataset> or curated.<dataset>."
  }

  validation {
    condition     = alltrue([for table in var.tables : contains(["live", "symlink"], table.view) && length(table.columns) > 0])
    error_message = "a table has columns, and its view is live or symlink."
  }

  validation {
    condition     = alltrue([for table in var.tables : can(regex("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", table.first_window))])
    error_message = "first_window is a day such as 2024-01-01."
  }
}
