# A bucket that Velero stores in, in the cluster of the connection `prod`.
resource "dr_backup_target" "velero" {
  name   = "garage"
  store  = { s3 = "minio", bucket = "velero", prefix = "prod", credentials = "connection" }
  velero = { cluster = "prod" }

  # depends_on = [helm_release.velero], where the same apply installs Velero
}

resource "dr_retention_policy" "week" {
  name        = "week"
  keep_within = "7d"
}

resource "dr_backup_schedule" "daily" {
  name      = "daily"
  target    = dr_backup_target.velero.ref
  cron      = "0 2 * * *"
  time_zone = "Pacific/Auckland"
  retention = dr_retention_policy.week.keep

  velero = {
    excluded_namespaces          = ["kube-system"]
    default_volumes_to_fs_backup = true
  }
}
