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
  description = "What is protected: the namespace of each application, its claim, and the claim's size."
  type        = map(object({ namespace = string, pvc = string, size = string }))
  default = {
    wiki  = { namespace = "wiki", pvc = "data", size = "10Gi" }
    gitea = { namespace = "gitea", pvc = "gitea-shared-storage", size = "20Gi" }
  }
}

variable "storage_class" {
  description = "Of the claims that a restore has to make."
  type        = string
  default     = "longhorn"
}

variable "endpoint" {
  description = "Where the bucket's server is, for this machine and for the pods."
  type        = string
  default     = "http://minio.example.com:9000"
}

variable "region" {
  type    = string
  default = "us-east-1"
}

variable "bucket" {
  type    = string
  default = "k8up"
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
