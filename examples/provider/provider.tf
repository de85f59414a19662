terraform {
  required_providers {
    dr = {
      source = "dr-as-code/dr"
    }
  }
}

provider "dr" {
  # Read at first use: a configuration without Kubernetes needs no such file.
  kubernetes = {
    prod = { kubeconfig = "~/.kube/config", context = "prod" }
  }

  s3 = {
    minio = {
      endpoint          = "http://127.0.0.1:9000"
      region            = "us-east-1"
      path_style        = true
      access_key_id     = "backups"
      secret_access_key = var.minio_secret_access_key
    }
  }

  # Referred to by name: no resource holds the password itself.
  secrets = { docs_repo = var.docs_repo_password }
}

# Ephemeral variables are in no plan and in no state.

variable "minio_secret_access_key" {
  type      = string
  sensitive = true
  ephemeral = true
}

variable "docs_repo_password" {
  type      = string
  sensitive = true
  ephemeral = true
}
