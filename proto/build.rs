//! Compiles the protocol's message definitions, without a `protoc` on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["tfplugin6.proto", "plugin.proto", "health.proto"];
    for file in files {
        println!("cargo::rerun-if-changed=protos/{file}");
    }
    let descriptors = protox::compile(files, ["protos"])?;
    // A call that a provider leaves out answers UNIMPLEMENTED, as hosts expect.
    tonic_prost_build::configure()
        .generate_default_stubs(true)
        .bytes(".tfplugin6.DynamicValue")
        .compile_fds(descriptors)?;
    Ok(())
}
