variable "data" {
  description = "The folder to protect: absolute, without a trailing slash."
  type        = string
}

variable "repository" {
  description = "The folder for the repository, when no bucket is given."
  type        = string
  default     = null
}

variable "bucket" {
  description = "A bucket for the repository, which must exist."
  type        = string
  default     = null
}

variable "prefix" {
  description = "Where in the bucket."
  type        = string
  default     = "quickstart"
}

variable "release" {
  description = "Another value makes another backup."
  type        = string
  default     = "1"
}

# Ephemeral variables are in no plan and in no state: give them each time, best through TF_VAR_….

variable "repository_password" {
  description = "The password of the repository."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "s3" {
  description = "The S3 server of the bucket."
  type = object({
    endpoint          = optional(string)
    region            = optional(string)
    path_style        = optional(bool)
    access_key_id     = string
    secret_access_key = string
    session_token     = optional(string)
    ca_pem            = optional(string)
    fingerprint       = optional(string)
    insecure          = optional(bool)
  })
  default   = null
  sensitive = true
  ephemeral = true
}
