# Volumes whose claims Git makes. VolSync saves the critical ones hourly and the others daily; an image of each stands by, from
# which its populator fills a claim that is made again; and one claim goes back to an earlier time while Argo CD and Flux stand by.

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
    rustfs = {
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
  store   = { s3 = "rustfs", bucket = var.bucket, prefix = each.key, credentials = "connection" }
  volsync = { cluster = var.cluster, namespace = each.value.namespace, password = "repository" }
}

# An image of the newest point, for whatever claim names it. The repository is proved first: one that is empty or mistyped is an
# error here, where VolSync alone would hand an empty volume over and call it a success.
resource "dr_restore_job" "image" {
  for_each = var.claims

  name       = each.key
  source     = dr_backup_target.application[each.key].ref
  perform    = false
  when       = "always"
  triggers   = { pinned = var.pinned }
  on_missing = "skip" # a claim without any backup has no image yet; take it out once all have one

  volsync = {
    pvc                = each.value.pvc
    capacity           = each.value.size
    access_modes       = ["ReadWriteOnce"]
    storage_class_name = var.storage_class
    cache_capacity     = "1Gi"
  }
}

# One claim, or several, back to an earlier time: an entry that is added runs once, one that is taken out is forgotten.
resource "dr_restore_job" "back" {
  for_each = var.restore

  name           = "${each.key}-back"
  source         = dr_backup_target.application[each.key].ref
  when           = "always"
  recovery_point = { at = each.value }
  triggers       = { at = each.value }
  rto            = "30m"

  quiesce = {
    suspend    = var.claims[each.key].suspend
    scale_down = var.claims[each.key].scale_down
  }

  volsync = {
    pvc                  = var.claims[each.key].pvc
    enable_file_deletion = true
  }
}

resource "dr_backup_schedule" "volume" {
  for_each = var.claims

  name      = each.key
  target    = dr_backup_target.application[each.key].ref
  after     = dr_restore_job.image[each.key].ref
  cron      = local.tiers[each.value.tier].cron
  retention = local.tiers[each.value.tier].keep
  timeouts  = { create = "30m" } # on a rebuild it waits until Git has made the claim

  # Nothing of it changes while one of its claims goes back.
  depends_on = [dr_restore_job.back]

  volsync = {
    pvc                 = each.value.pvc
    copy_method         = "Snapshot"
    cache_capacity      = "1Gi"
    prune_interval_days = 7
  }
}

output "armed" {
  description = "Whether a claim that is made again would be filled by itself, and why not."
  value       = { for name, job in dr_restore_job.image : name => job.auto_restore }
}

output "alert_rules" {
  description = "For Prometheus: they tell when backups fail or stop."
  value       = { for name, schedule in dr_backup_schedule.volume : name => schedule.alert_rules }
}
