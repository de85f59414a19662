# Several clusters, each backed up by its own Velero to a bucket of its own: production, agents and monitoring. The same
# configuration brings the applications of any of them back on a new cluster, and leaves the others as they are.

terraform {
  required_providers {
    dr = {
      source = "dr-as-code/dr"
    }
  }
}

provider "dr" {
  kubernetes = {
    for name, cluster in var.clusters : name => {
      kubeconfig  = cluster.kubeconfig
      context     = cluster.context
      unreachable = cluster.unreachable
    }
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

module "cluster" {
  source   = "./cluster"
  for_each = var.clusters

  cluster      = each.key
  bucket       = each.value.bucket
  applications = each.value.applications
  daily        = each.value.daily
  weekly       = each.value.weekly
  time_zone    = var.time_zone
}

output "alert_rules" {
  description = "For the Prometheus of each cluster: they tell when backups fail or stop."
  value       = { for name, cluster in module.cluster : name => cluster.alert_rules }
}
