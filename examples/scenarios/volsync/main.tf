# Volumes of one cluster, each in a restic repository of its own: VolSync saves the critical ones hourly and the others
# daily. The same configuration fills the volumes on a new cluster, before the schedules begin again.

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

locals {
  tiers = {
    critical = { cron = "0 * * * *", keep = { keep_hourly = 24, keep_daily = 7 } }
    daily    = { cron = "0 2 * * *", keep = { keep_daily = 14 } }
  }
}

resource "dr_backup_target" "application" {
  for_each = var.claims

  name    = each.key
  store   = { s3 = "store", bucket = var.bucket, prefix = each.key, credentials = "connection" }
  volsync = { cluster = var.cluster, namespace = each.value.namespace, password = "repository" }
}

# A claim that is missing is made and filled from its newest point, once. Without on_missing a mistyped prefix is an error here, where
# VolSync would start a new, empty repository and call it a success.
resource "dr_restore_job" "volume" {
  for_each = var.claims

  name       = each.key
  source     = dr_backup_target.application[each.key].ref
  on_missing = "skip" # the first apply of all has nothing to restore; take it out afterwards

  volsync = {
    pvc                = each.value.pvc
    capacity           = each.value.size
    access_modes       = ["ReadWriteOnce"]
    storage_class_name = var.storage_class
  }
}

resource "dr_backup_schedule" "volume" {
  for_each = var.claims

  name      = each.key
  target    = dr_backup_target.application[each.key].ref
  after     = dr_restore_job.volume[each.key].ref
  cron      = local.tiers[each.value.tier].cron
  retention = local.tiers[each.value.tier].keep

  volsync = {
    pvc                 = each.value.pvc
    copy_method         = var.copy_method
    cache_capacity      = "1Gi"
    prune_interval_days = 7
  }
}

output "alert_rules" {
  description = "For Prometheus: they tell when backups fail or stop."
  value       = { for name, schedule in dr_backup_schedule.volume : name => schedule.alert_rules }
}
