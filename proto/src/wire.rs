//! Messages and services of the wire, generated from our own definitions; one module for each package.
//!
//! A later protocol version becomes one more module here, beside its own codecs.

#![expect(missing_docs, reason = "generated: the definitions name what the protocol documents")]
#![expect(clippy::allow_attributes, reason = "generated")]

/// Provider protocol 6.11.
pub mod tfplugin6 {
    tonic::include_proto!("tfplugin6");
}

/// go-plugin's helper services.
pub mod plugin {
    tonic::include_proto!("plugin");
}

/// gRPC's health check.
pub mod health {
    tonic::include_proto!("grpc.health.v1");
}
