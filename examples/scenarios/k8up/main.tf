# Volumes of one cluster, backed up by k8up every three hours: a repository for each application, in a bucket of their own.
# The same configuration fills the volumes on a new cluster, before the schedules begin again.

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
    store = {
      endpoint          = var.endpoint
      region            = var.region
      path_style        = true
      access_key_id     = var.access_key_id
      secret_access_key = var.secret_access_key
    }
  }

  secrets = {
    repository = var.repository_password
  }
}

resource "dr_backup_target" "application" {
  for_each = var.claims

  name  = each.key
  store = { s3 = "store", bucket = var.bucket, prefix = each.key, credentials = "connection" }
  k8up  = { cluster = var.cluster, namespace = each.value.namespace, password = "repository" }
}

# A claim that is missing is made and filled from its newest point, once.
resource "dr_restore_job" "volume" {
  for_each = var.claims

  name       = each.key
  source     = dr_backup_target.application[each.key].ref
  on_missing = "skip" # the first apply of all has nothing to restore; take it out afterwards
  rto        = "30m"

  k8up = {
    pvc                = each.value.pvc
    capacity           = each.value.size
    storage_class_name = var.storage_class
  }
}

# k8up objects live in the namespace that they back up, and prune everything of it: one schedule for each.
resource "dr_backup_schedule" "three_hourly" {
  for_each = var.claims

  name      = each.key
  target    = dr_backup_target.application[each.key].ref
  after     = dr_restore_job.volume[each.key].ref
  cron      = "0 */3 * * *"
  retention = { keep_hourly = 16, keep_daily = 14, keep_weekly = 8 }

  k8up = {
    prune = { cron = "0 5 * * 0" }
    check = { cron = "0 6 * * 0" }
  }
}

output "alert_rules" {
  description = "For Prometheus: they tell when backups fail or stop."
  value       = { for name, schedule in dr_backup_schedule.three_hourly : name => schedule.alert_rules }
}
