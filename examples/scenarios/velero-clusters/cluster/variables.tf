variable "cluster" {
  description = "The cluster's name: of its connection, and of its prefix in the bucket."
  type        = string
}

variable "bucket" {
  type = string
}

variable "applications" {
  description = "The namespaces that are protected."
  type        = set(string)
}

variable "daily" {
  type = string
}

variable "weekly" {
  type = string
}

variable "time_zone" {
  type = string
}
