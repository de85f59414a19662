# One cluster, backed up by Velero to a bucket of its own: production daily, kept for a week, and weekly, kept for a month.
# The same configuration brings the applications back on a new cluster, before the schedules begin again.

terraform {
  required_providers {
    dr = {
      source = "dr-as-code/dr"
    }
  }
}

provider "dr" {
  kubernetes = {
    (var.cluster) = { kubeconfig = var.kubeconfig, context = var.context }
  }

  s3 = {
    garage = {
      endpoint          = var.endpoint
      region            = var.region
      path_style        = true
      access_key_id     = var.access_key_id
      secret_access_key = var.secret_access_key
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

# Nothing is backed up before the restores have had their say.
resource "dr_backup_schedule" "daily" {
  for_each = var.applications

  name      = "${each.key}-daily"
  target    = dr_backup_target.velero.ref
  after     = dr_restore_job.application[each.key].ref
  cron      = each.value.daily
  time_zone = var.time_zone
  retention = { keep_within = "7d" }
  velero    = { included_namespaces = [each.key], default_volumes_to_fs_backup = true }
}

# Velero deletes each backup at an age that is fixed when it is made, so another tier is another schedule.
resource "dr_backup_schedule" "weekly" {
  for_each = var.applications

  name      = "${each.key}-weekly"
  target    = dr_backup_target.velero.ref
  after     = dr_restore_job.application[each.key].ref
  cron      = each.value.weekly
  time_zone = var.time_zone
  retention = { keep_within = "30d" }
  velero    = { included_namespaces = [each.key], default_volumes_to_fs_backup = true }
}

output "alert_rules" {
  description = "For Prometheus: they tell when backups fail or stop."
  value       = { for name, schedule in dr_backup_schedule.daily : name => schedule.alert_rules }
}
