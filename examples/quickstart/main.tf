# A folder that is backed up, can be lost, and comes back with the next apply.

terraform {
  required_providers {
    dr = {
      source = "dr-as-code/dr"
    }
  }
}

provider "dr" {
  secrets = { quickstart = var.repository_password }
  s3      = var.s3 == null ? null : { default = var.s3 }
}

# How long backups are kept.
resource "dr_retention_policy" "tiered" {
  name         = "tiered"
  keep_last    = 3
  keep_daily   = 7
  keep_weekly  = 5
  keep_monthly = 12
}

# Where they go: a repository in the restic format, in a folder or in a bucket.
resource "dr_backup_target" "documents" {
  name = "documents"
  store = {
    local  = var.bucket == null ? { path = var.repository } : null
    s3     = var.bucket == null ? null : "default"
    bucket = var.bucket
    prefix = var.bucket == null ? null : var.prefix
  }
  retention = dr_retention_policy.tiered.keep
  restic    = { password = "quickstart" }
}

# How the folder comes back: whenever it is missing or empty, and never twice.
resource "dr_restore_job" "documents" {
  name       = "documents"
  source     = dr_backup_target.documents.ref
  when       = "target_missing_or_empty"
  on_missing = "skip"
  restic     = { path = var.data }
}

# One backup now, and one whenever `release` changes; never before the restore above has had its say.
resource "dr_backup_job" "documents" {
  name     = "documents"
  target   = dr_backup_target.documents.ref
  after    = dr_restore_job.documents.ref
  triggers = { release = var.release }
  restic   = { paths = [var.data], excludes = ["*.tmp"], tags = ["quickstart"] }
}

output "backup" {
  description = "What the last backup stored."
  value       = dr_backup_job.documents.result
}

output "restore" {
  description = "How the last restore ended."
  value       = dr_restore_job.documents.result
}
