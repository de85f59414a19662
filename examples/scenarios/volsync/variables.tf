variable "cluster" {
  description = "The cluster's name: of its connection."
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

variable "claims" {
  description = "What is protected: the namespace of each application, its claim, the claim's size, and how often it is saved."
  type        = map(object({ namespace = string, pvc = string, size = string, tier = string }))
  default = {
    paperless = { namespace = "paperless-ngx", pvc = "paperless-data", size = "10Gi", tier = "critical" }
    jellyfin  = { namespace = "jellyfin", pvc = "jellyfin-config", size = "5Gi", tier = "daily" }
  }
}

variable "copy_method" {
  description = "How the movers get a copy that stands still: `Snapshot` where the storage has snapshots, else `Direct`."
  type        = string
  default     = "Snapshot"
}

variable "storage_class" {
  description = "Of the claims that a restore has to make."
  type        = string
  default     = "longhorn"
}

variable "endpoint" {
  description = "Where the bucket's server is, for this machine and for the pods."
  type        = string
  default     = "http://192.168.10.133:30292"
}

variable "region" {
  type    = string
  default = "us-east-1"
}

variable "bucket" {
  type    = string
  default = "volsync"
}

variable "access_key_id" {
  type = string
}

variable "secret_access_key" {
  type      = string
  sensitive = true
  ephemeral = true # in no plan and in no state
}

variable "repository_password" {
  description = "Of the restic repositories. Keep it outside the cluster that it opens."
  type        = string
  sensitive   = true
  ephemeral   = true
}
