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
  description = "What is protected: the namespace, claim and size of each, how often it is saved, and who in Git and in the cluster stands back while it is restored."
  type = map(object({
    namespace  = string
    pvc        = string
    size       = string
    tier       = string
    suspend    = optional(list(string), [])
    scale_down = optional(list(string), [])
  }))
  default = {
    paperless = {
      namespace  = "paperless-ngx"
      pvc        = "paperless-data"
      size       = "10Gi"
      tier       = "critical"
      suspend    = ["argocd/applicationset/my-apps", "argocd/application/paperless-ngx"]
      scale_down = ["deployment/paperless-ngx"]
    }
    jellyfin = {
      namespace  = "jellyfin"
      pvc        = "jellyfin-config"
      size       = "5Gi"
      tier       = "daily"
      suspend    = ["flux-system/kustomization/media"]
      scale_down = ["deployment/jellyfin"]
    }
  }
}

variable "pinned" {
  description = "Any text: with another one the images are made anew, of the newest points."
  type        = string
  default     = ""
}

variable "restore" {
  description = "Claims that go back, and the time that they go back to: `{ paperless = \"2026-11-30T08:00:00Z\" }`."
  type        = map(string)
  default     = {}
}

variable "storage_class" {
  description = "Of the images: one that can take snapshots."
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
