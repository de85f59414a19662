# One cluster: its bucket, what comes back when it is lost, and its schedules.

terraform {
  required_providers {
    dr = {
      source = "dr-as-code/dr"
    }
  }
}

resource "dr_backup_target" "velero" {
  name   = "garage"
  store  = { s3 = "garage", bucket = var.bucket, prefix = var.cluster, credentials = "connection" }
  velero = { cluster = var.cluster, default = true, backup_sync_period = "1m" }
}

# What is lost comes back, once, each application by itself.
resource "dr_restore_job" "application" {
  for_each = var.applications

  name       = each.key
  source     = dr_backup_target.velero.ref
  when       = "target_missing_or_empty"
  on_missing = "skip" # the first apply of all has nothing to restore; take it out afterwards
  velero     = { included_namespaces = [each.key] }
}

# Velero deletes each backup at an age that is fixed when it is made: seven days and thirty are two schedules.
resource "dr_backup_schedule" "daily" {
  for_each = var.applications

  name      = "${each.key}-daily"
  target    = dr_backup_target.velero.ref
  after     = dr_restore_job.application[each.key].ref
  cron      = var.daily
  time_zone = var.time_zone
  retention = { keep_within = "7d" }
  velero    = { included_namespaces = [each.key], default_volumes_to_fs_backup = true }
}

resource "dr_backup_schedule" "weekly" {
  for_each = var.applications

  name      = "${each.key}-weekly"
  target    = dr_backup_target.velero.ref
  after     = dr_restore_job.application[each.key].ref
  cron      = var.weekly
  time_zone = var.time_zone
  retention = { keep_within = "30d" }
  velero    = { included_namespaces = [each.key], default_volumes_to_fs_backup = true }
}
