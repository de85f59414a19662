variable "cluster" {
  description = "The cluster's name: of its connection, and of its prefix in the bucket."
  type        = string
  default     = "prod"
}

variable "kubeconfig" {
  type    = string
  default = "~/.kube/config"
}

variable "context" {
  type    = string
  default = "prod"
}

variable "applications" {
  description = "The namespaces that are protected, and when each is backed up."
  type        = map(object({ daily = string, weekly = string }))
  default = {
    paperless = { daily = "0 2 * * *", weekly = "0 3 * * 0" }
    grafana   = { daily = "30 2 * * *", weekly = "30 3 * * 0" }
  }
}

variable "time_zone" {
  type    = string
  default = "Pacific/Auckland"
}

variable "endpoint" {
  description = "Where the bucket's server is, for this machine and for Velero."
  type        = string
  default     = "http://10.20.0.103:30188"
}

variable "region" {
  type    = string
  default = "garage"
}

variable "bucket" {
  type    = string
  default = "velero-prod"
}

variable "access_key_id" {
  type = string
}

variable "secret_access_key" {
  type      = string
  sensitive = true
  ephemeral = true # in no plan and in no state
}
