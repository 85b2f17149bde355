# One task definition per verb, all of the same image: a verb's rights are its task role's.

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]

  default_capacity_provider_strategy {
    capacity_provider = var.capacity_provider
    weight            = 1
  }
}

resource "aws_security_group" "tasks" {
  name        = "${var.name}-tasks"
  description = "windrow tasks: they call AWS over TLS and take no calls"
  vpc_id      = var.vpc_id

  egress {
    description = "S3, Step Functions, SQS, ECR, CloudWatch Logs"
    from_port   = 443
    to_port     = 443
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_cloudwatch_log_group" "verb" {
  for_each = local.verbs

  name              = "/${var.name}/tasks/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
}

locals {
  environment = {
    AWS_REGION         = var.region
    TMPDIR             = "/tmp"
    WINDROW_LAKE       = local.lake_url
    WINDROW_LINEAGE    = "lake"
    WINDROW_LOG_FORMAT = "json"
    WINDROW_METRICS    = "emf"
    WINDROW_OUTPUT     = "json"
    WINDROW_PROFILE    = var.profile
  }
  verb_environment = {
    gc = { WINDROW_GC_DELETE = tostring(var.gc_delete) }
  }

  # The state machines address the container by its name and give command, environment and size.
  container = {
    for verb, size in local.verbs : verb => {
      name                   = "windrow"
      image                  = var.image
      command                = [verb]
      essential              = true
      user                   = "65532:65532"
      readonlyRootFilesystem = true
      # SIGTERM is answered within 20 s; what is not gone by then is killed and reads as exit code 137.
      stopTimeout = 30
      environment = [
        for name, value in merge(local.environment, lookup(local.verb_environment, verb, {})) : { name = name, value = value }
      ]
      linuxParameters = { capabilities = { drop = ["ALL"] } }
      ulimits         = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]
      # Temporary copies of inputs. Writable for the user because the image declares VOLUME /tmp with mode 1777.
      mountPoints = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          "awslogs-group"         = "/${var.name}/tasks/${verb}"
          "awslogs-region"        = var.region
          "awslogs-stream-prefix" = verb
        }
      }
    }
  }
}

resource "aws_ecs_task_definition" "verb" {
  for_each = local.verbs

  family                   = local.family[each.key]
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = each.value.cpu
  memory                   = each.value.memory
  execution_role_arn       = aws_iam_role.service["execution"].arn
  task_role_arn            = aws_iam_role.task[each.key].arn
  container_definitions    = jsonencode([local.container[each.key]])

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  volume {
    name = "tmp"
  }

  # 20 GiB are there anyway, and the API takes no smaller request than 21.
  dynamic "ephemeral_storage" {
    for_each = var.scratch_gib > 20 ? [var.scratch_gib] : []

    content {
      size_in_gib = ephemeral_storage.value
    }
  }

  depends_on = [aws_cloudwatch_log_group.verb]
}
