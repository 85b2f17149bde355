# The lake's bucket. What protects it stands in its policy, so it holds for everybody, whatever their roles allow.

locals {
  # Written once: the ledger's registers and the tables' formats.
  write_once = ["${local.lake_arn}store/*/ledger/*", "${local.lake_arn}store/*/format.json"]

  bucket_policy = {
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "DenyPlainHttp"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [local.bucket_arn, "${local.bucket_arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        # Also refuses copies and uploads in parts there; windrow makes neither.
        Sid       = "DenyOverwritingTheLedger"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:PutObject"
        Resource  = local.write_once
        Condition = { Null = { "s3:if-none-match" = "true" } }
      },
      {
        # In a versioned bucket a delete marker would let a second create succeed.
        Sid       = "DenyDeletingFromTheLedger"
        Effect    = "Deny"
        Principal = "*"
        Action    = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
        Resource  = local.write_once
      },
      {
        Sid       = "DenyJobsToTouchRaw"
        Effect    = "Deny"
        Principal = "*"
        Action    = local.write_actions
        Resource  = ["${local.lake_arn}raw/*"]
        Condition = { ArnEquals = { "aws:PrincipalArn" = concat(values(local.task_role_arn), [local.glue_role_arn]) } }
      },
    ]
  }
}

# A bucket that holds anything is not destroyed: S3 refuses it without force_destroy.
resource "aws_s3_bucket" "lake" {
  count  = var.create_bucket ? 1 : 0
  bucket = var.lake_bucket
}

resource "aws_s3_bucket_versioning" "lake" {
  count  = var.create_bucket ? 1 : 0
  bucket = aws_s3_bucket.lake[0].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "lake" {
  count  = var.create_bucket ? 1 : 0
  bucket = aws_s3_bucket.lake[0].id

  rule {
    bucket_key_enabled = var.lake_kms_key_arn != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.lake_kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.lake_kms_key_arn
    }
  }
}

resource "aws_s3_bucket_public_access_block" "lake" {
  count                   = var.create_bucket ? 1 : 0
  bucket                  = aws_s3_bucket.lake[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "lake" {
  count  = var.create_bucket ? 1 : 0
  bucket = aws_s3_bucket.lake[0].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_policy" "lake" {
  count  = var.create_bucket ? 1 : 0
  bucket = aws_s3_bucket.lake[0].id
  policy = jsonencode(local.bucket_policy)

  # Both at once are a conflict that S3 refuses.
  depends_on = [aws_s3_bucket_public_access_block.lake]
}

# Nothing here expires what is current, but results of runs: what the ledger holds is for `windrow gc` to judge.
resource "aws_s3_bucket_lifecycle_configuration" "lake" {
  count  = var.create_bucket ? 1 : 0
  bucket = aws_s3_bucket.lake[0].id

  rule {
    id     = "abort-incomplete-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  rule {
    id     = "expire-results-of-runs"
    status = "Enabled"

    filter {
      prefix = "${local.lake_folder}runs/"
    }

    expiration {
      days = var.runs_retention_days
    }
  }

  rule {
    id     = "expire-what-was-replaced"
    status = "Enabled"

    filter {
      prefix = local.lake_folder
    }

    noncurrent_version_expiration {
      noncurrent_days = var.noncurrent_retention_days
    }

    expiration {
      expired_object_delete_marker = true
    }
  }

  depends_on = [aws_s3_bucket_versioning.lake]
}
