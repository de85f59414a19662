variable "clusters" {
  description = "What is protected: how each cluster is reached, its bucket, its applications, and when they are backed up."
  type = map(object({
    kubeconfig   = optional(string, "~/.kube/config")
    context      = string
    unreachable  = optional(string, "fail")
    bucket       = string
    applications = set(string)
    daily        = string
    weekly       = string
  }))
  default = {
    prod = {
      context      = "prod"
      bucket       = "velero-prod"
      applications = ["paperless", "immich"]
      daily        = "0 2 * * *"
      weekly       = "0 3 * * 0"
    }
    agentic = {
      context      = "agentic"
      bucket       = "velero-agentic"
      applications = ["n8n", "qdrant"]
      daily        = "0 2 * * *"
      weekly       = "0 3 * * 0"
    }
    monit = {
      context      = "monit"
      bucket       = "velero-monit"
      applications = ["grafana"]
      daily        = "30 2 * * *"
      weekly       = "30 3 * * 0"
    }
  }
}

variable "time_zone" {
  type    = string
  default = "Pacific/Auckland"
}

variable "endpoint" {
  description = "Where the buckets' server is, for this machine and for every Velero."
  type        = string
  default     = "http://10.20.0.103:30188"
}

variable "region" {
  type    = string
  default = "garage"
}

variable "access_key_id" {
  type = string
}

variable "secret_access_key" {
  type      = string
  sensitive = true
  ephemeral = true # in no plan and in no state
}
